-- up
CREATE TABLE `people` (`id` text NOT NULL,`email` text,PRIMARY KEY (`id`));
CREATE UNIQUE INDEX `idx_people_email` ON `people`(`email`);
CREATE TABLE `people_keys` (`id` text NOT NULL,`user_id` text NOT NULL,`hashed_password` text,PRIMARY KEY (`id`),CONSTRAINT `fk_people_keys_user` FOREIGN KEY (`user_id`) REFERENCES `people`(`id`) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE INDEX `idx_people_keys_user_id` ON `people_keys`(`user_id`);
CREATE TABLE `people_sessions` (`id` text NOT NULL,`user_id` text NOT NULL,`active_expires` bigint NOT NULL,`idle_expires` bigint NOT NULL,PRIMARY KEY (`id`),CONSTRAINT `fk_people_sessions_user` FOREIGN KEY (`user_id`) REFERENCES `people`(`id`) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE INDEX `idx_people_sessions_idle_expires` ON `people_sessions`(`idle_expires`);
CREATE INDEX `idx_people_sessions_user_id` ON `people_sessions`(`user_id`);
-- down
DROP TABLE `people_sessions`;
DROP TABLE `people_keys`;
DROP TABLE `people`;
