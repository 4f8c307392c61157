-- SPDX-License-Identifier: GPL-3.0-or-later
CREATE TABLE IF NOT EXISTS usage18 (computer_reference TEXT, time DOUBLE PRECISION, report TEXT);
CREATE INDEX IF NOT EXISTS usage18_computer ON usage18 (computer_reference, time);
