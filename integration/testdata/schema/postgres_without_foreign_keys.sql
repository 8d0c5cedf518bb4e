-- up
CREATE TABLE "auth_user" ("id" varchar(15) NOT NULL,"email" varchar(255),PRIMARY KEY ("id"));
CREATE UNIQUE INDEX IF NOT EXISTS "idx_auth_user_email" ON "auth_user" ("email");
CREATE TABLE "user_key" ("id" varchar(255) NOT NULL,"user_id" varchar(15) NOT NULL,"hashed_password" varchar(255),PRIMARY KEY ("id"));
CREATE INDEX IF NOT EXISTS "idx_user_key_user_id" ON "user_key" ("user_id");
CREATE TABLE "user_session" ("id" varchar(128) NOT NULL,"user_id" varchar(15) NOT NULL,"active_expires" bigint NOT NULL,"idle_expires" bigint NOT NULL,PRIMARY KEY ("id"));
CREATE INDEX IF NOT EXISTS "idx_user_session_idle_expires" ON "user_session" ("idle_expires");
CREATE INDEX IF NOT EXISTS "idx_user_session_user_id" ON "user_session" ("user_id");
-- down
DROP TABLE "user_session";
DROP TABLE "user_key";
DROP TABLE "auth_user";
