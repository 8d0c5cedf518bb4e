-- up
CREATE TABLE `people` (`id` varbinary(36) NOT NULL,`email` varchar(255),PRIMARY KEY (`id`),UNIQUE INDEX `idx_people_email` (`email`));
CREATE TABLE `people_keys` (`id` varbinary(255) NOT NULL,`user_id` varbinary(36) NOT NULL,`hashed_password` varchar(255),PRIMARY KEY (`id`),INDEX `idx_people_keys_user_id` (`user_id`),CONSTRAINT `fk_people_keys_user` FOREIGN KEY (`user_id`) REFERENCES `people`(`id`) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE `people_sessions` (`id` varbinary(128) NOT NULL,`user_id` varbinary(36) NOT NULL,`active_expires` bigint NOT NULL,`idle_expires` bigint NOT NULL,PRIMARY KEY (`id`),INDEX `idx_people_sessions_user_id` (`user_id`),INDEX `idx_people_sessions_idle_expires` (`idle_expires`),CONSTRAINT `fk_people_sessions_user` FOREIGN KEY (`user_id`) REFERENCES `people`(`id`) ON DELETE CASCADE ON UPDATE CASCADE);
-- down
DROP TABLE `people_sessions`;
DROP TABLE `people_keys`;
DROP TABLE `people`;
