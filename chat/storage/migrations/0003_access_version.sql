-- `access_version` grows by one with every change of which users may write to a conversation: its
-- members, and whether one of two users has blocked the other. A cached right to write holds for one
-- version.
ALTER TABLE conversations ADD COLUMN access_version BIGINT NOT NULL DEFAULT 0;
