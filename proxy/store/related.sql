-- SPDX-License-Identifier: GPL-3.0-or-later
CREATE TABLE IF NOT EXISTS related18 (
  computer_reference TEXT,
  partition_reference TEXT,
  title TEXT,
  PRIMARY KEY (computer_reference, partition_reference, title)
);
