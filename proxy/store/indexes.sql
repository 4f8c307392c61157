-- SPDX-License-Identifier: GPL-3.0-or-later
-- No index here changes the order in which the original reads rows: it asks
-- for none, and sees that of creation (PROXY-32, PROXY-62).
CREATE INDEX IF NOT EXISTS partition18_computer ON partition18 (computer_reference);
CREATE INDEX IF NOT EXISTS partition18_free ON partition18 (computer_reference) WHERE slap_state = 'free';
CREATE INDEX IF NOT EXISTS partition18_title ON partition18 (partition_reference);
CREATE INDEX IF NOT EXISTS partition18_root ON partition18 (requested_by) WHERE requested_by <> '';
CREATE INDEX IF NOT EXISTS partition_network18_partition ON partition_network18 (computer_reference, partition_reference);
CREATE INDEX IF NOT EXISTS slave18_reference ON slave18 (reference);
CREATE INDEX IF NOT EXISTS software18_computer ON software18 (computer_reference);
