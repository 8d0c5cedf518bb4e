-- up
CREATE TABLE "people" ("id" varchar(36) NOT NULL,"email" varchar(255),PRIMARY KEY ("id"));
CREATE UNIQUE INDEX IF NOT EXISTS "idx_people_email" ON "people" ("email");
CREATE TABLE "people_keys" ("id" varchar(255) NOT NULL,"user_id" varchar(36) NOT NULL,"hashed_password" varchar(255),PRIMARY KEY ("id"),CONSTRAINT "fk_people_keys_user" FOREIGN KEY ("user_id") REFERENCES "people"("id") ON DELETE CASCADE ON UPDATE CASCADE);
CREATE INDEX IF NOT EXISTS "idx_people_keys_user_id" ON "people_keys" ("user_id");
CREATE TABLE "people_sessions" ("id" varchar(128) NOT NULL,"user_id" varchar(36) NOT NULL,"active_expires" bigint NOT NULL,"idle_expires" bigint NOT NULL,PRIMARY KEY ("id"),CONSTRAINT "fk_people_sessions_user" FOREIGN KEY ("user_id") REFERENCES "people"("id") ON DELETE CASCADE ON UPDATE CASCADE);
CREATE INDEX IF NOT EXISTS "idx_people_sessions_idle_expires" ON "people_sessions" ("idle_expires");
CREATE INDEX IF NOT EXISTS "idx_people_sessions_user_id" ON "people_sessions" ("user_id");
-- down
DROP TABLE "people_sessions";
DROP TABLE "people_keys";
DROP TABLE "people";
