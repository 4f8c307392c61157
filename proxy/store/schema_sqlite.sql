-- SPDX-License-Identifier: GPL-3.0-or-later
CREATE TABLE config18 (
  name TEXT PRIMARY KEY,
  value TEXT
) WITHOUT ROWID;

CREATE TABLE software18 (
  url VARCHAR(255),
  computer_reference VARCHAR(255) DEFAULT @computer,
  requested_state VARCHAR(255) DEFAULT 'available',
  PRIMARY KEY (url, computer_reference)
);

CREATE TABLE computer18 (
  reference VARCHAR(255) DEFAULT @computer,
  address VARCHAR(255),
  netmask VARCHAR(255),
  PRIMARY KEY (reference)
);

CREATE TABLE partition18 (
  reference VARCHAR(255),
  computer_reference VARCHAR(255) DEFAULT @computer,
  slap_state VARCHAR(255) DEFAULT 'free',
  software_release VARCHAR(255),
  xml TEXT,
  connection_xml TEXT,
  slave_instance_list TEXT,
  software_type VARCHAR(255),
  partition_reference VARCHAR(255),
  requested_by VARCHAR(255) NOT NULL DEFAULT '',
  requester_id VARCHAR(255) NOT NULL DEFAULT '',
  requested_state VARCHAR(255) NOT NULL DEFAULT 'started',
  timestamp REAL,
  PRIMARY KEY (reference, computer_reference)
);

CREATE TABLE slave18 (
  reference VARCHAR(255),
  computer_reference VARCHAR(255) DEFAULT @computer,
  connection_xml TEXT,
  hosted_by VARCHAR(255),
  requester_id VARCHAR(255) NOT NULL DEFAULT ''
);

CREATE TABLE partition_network18 (
  partition_reference VARCHAR(255),
  computer_reference VARCHAR(255) DEFAULT @computer,
  reference VARCHAR(255),
  address VARCHAR(255),
  netmask VARCHAR(255)
);

CREATE TABLE forwarded_partition_request18 (
  partition_reference VARCHAR(255),
  master_url VARCHAR(255),
  PRIMARY KEY (partition_reference, master_url)
);
