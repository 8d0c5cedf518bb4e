-- The databases below the shards of topology.txt.
CREATE DATABASE `vt_gk0_0`;
CREATE DATABASE `vt_gk1_0`;
CREATE DATABASE `vt_gk2_0`;
CREATE DATABASE `vt_gk3_0`;
CREATE DATABASE `vt_gk4_0`;
CREATE DATABASE `vt_gk5_0`;
CREATE DATABASE `vt_gk6_0`;
CREATE DATABASE `vt_gk7_0`;
CREATE DATABASE `vt_gk8_0`;
CREATE DATABASE `vt_gk9_0`;
CREATE DATABASE `gkeq`;
CREATE DATABASE `vt_gks_-80`;
CREATE DATABASE `vt_gks_80-`;
CREATE DATABASE `vt_gks_lookup_0`;
-- The unique indexes over both shards of gks: see schema/gks/vschema.json.
CREATE TABLE `vt_gks_lookup_0`.`user_key_id` (id VARBINARY(255) PRIMARY KEY, keyspace_id VARBINARY(128));
CREATE TABLE `vt_gks_lookup_0`.`user_session_id` (id VARBINARY(128) PRIMARY KEY, keyspace_id VARBINARY(128));
