-- SPDX-License-Identifier: GPL-3.0-or-later
CREATE TABLE IF NOT EXISTS report18 (
  computer_reference TEXT NOT NULL,
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,
  state TEXT NOT NULL,
  message TEXT NOT NULL,
  digest TEXT NOT NULL,
  since DOUBLE PRECISION NOT NULL,
  time DOUBLE PRECISION NOT NULL,
  failures BIGINT NOT NULL,
  failing DOUBLE PRECISION NOT NULL,
  event BIGINT NOT NULL,
  PRIMARY KEY (computer_reference, kind, subject)
);
CREATE TABLE IF NOT EXISTS heard18 (
  computer_reference TEXT PRIMARY KEY,
  time DOUBLE PRECISION NOT NULL,
  period DOUBLE PRECISION NOT NULL
);
CREATE TABLE IF NOT EXISTS promise18 (
  computer_reference TEXT NOT NULL,
  partition_reference TEXT NOT NULL,
  name TEXT NOT NULL,
  message TEXT NOT NULL,
  since DOUBLE PRECISION NOT NULL,
  time DOUBLE PRECISION NOT NULL,
  passed BIGINT NOT NULL,
  failed BIGINT NOT NULL,
  PRIMARY KEY (computer_reference, partition_reference, name)
);
CREATE TABLE IF NOT EXISTS event18 (
  id BIGINT PRIMARY KEY,
  time DOUBLE PRECISION NOT NULL,
  computer_reference TEXT NOT NULL,
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,
  title TEXT NOT NULL,
  root TEXT NOT NULL,
  event TEXT NOT NULL,
  state TEXT NOT NULL,
  message TEXT NOT NULL,
  actor TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS event18_subject ON event18 (computer_reference, kind, subject, id);
CREATE INDEX IF NOT EXISTS event18_title ON event18 (title, id) WHERE title <> '';
CREATE INDEX IF NOT EXISTS event18_refused ON event18 (id) WHERE kind = 'instance' AND subject = '';
CREATE TABLE IF NOT EXISTS log18 (
  event BIGINT PRIMARY KEY,
  text TEXT NOT NULL
);
