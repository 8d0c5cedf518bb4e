-- up
CREATE TABLE `auth_user` (`id` varbinary(15) NOT NULL,`email` varchar(255),PRIMARY KEY (`id`),UNIQUE INDEX `idx_auth_user_email` (`email`));
CREATE TABLE `user_key` (`id` varbinary(255) NOT NULL,`user_id` varbinary(15) NOT NULL,`hashed_password` varchar(255),PRIMARY KEY (`id`),INDEX `idx_user_key_user_id` (`user_id`),CONSTRAINT `fk_user_key_user` FOREIGN KEY (`user_id`) REFERENCES `auth_user`(`id`) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE `user_session` (`id` varbinary(128) NOT NULL,`user_id` varbinary(15) NOT NULL,`active_expires` bigint NOT NULL,`idle_expires` bigint NOT NULL,PRIMARY KEY (`id`),INDEX `idx_user_session_user_id` (`user_id`),INDEX `idx_user_session_idle_expires` (`idle_expires`),CONSTRAINT `fk_user_session_user` FOREIGN KEY (`user_id`) REFERENCES `auth_user`(`id`) ON DELETE CASCADE ON UPDATE CASCADE);
-- down
DROP TABLE `user_session`;
DROP TABLE `user_key`;
DROP TABLE `auth_user`;
