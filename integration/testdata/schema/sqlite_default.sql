-- up
CREATE TABLE `auth_user` (`id` text NOT NULL,`email` text,PRIMARY KEY (`id`));
CREATE UNIQUE INDEX `idx_auth_user_email` ON `auth_user`(`email`);
CREATE TABLE `user_key` (`id` text NOT NULL,`user_id` text NOT NULL,`hashed_password` text,PRIMARY KEY (`id`),CONSTRAINT `fk_user_key_user` FOREIGN KEY (`user_id`) REFERENCES `auth_user`(`id`) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE INDEX `idx_user_key_user_id` ON `user_key`(`user_id`);
CREATE TABLE `user_session` (`id` text NOT NULL,`user_id` text NOT NULL,`active_expires` bigint NOT NULL,`idle_expires` bigint NOT NULL,PRIMARY KEY (`id`),CONSTRAINT `fk_user_session_user` FOREIGN KEY (`user_id`) REFERENCES `auth_user`(`id`) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE INDEX `idx_user_session_idle_expires` ON `user_session`(`idle_expires`);
CREATE INDEX `idx_user_session_user_id` ON `user_session`(`user_id`);
-- down
DROP TABLE `user_session`;
DROP TABLE `user_key`;
DROP TABLE `auth_user`;
