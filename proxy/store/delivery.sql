-- SPDX-License-Identifier: GPL-3.0-or-later
CREATE TABLE IF NOT EXISTS delivery18 (
  target TEXT PRIMARY KEY,
  event BIGINT NOT NULL,
  owner TEXT NOT NULL,
  until DOUBLE PRECISION NOT NULL
);
