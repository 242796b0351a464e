-- `access_version` grows by one with every change of who may write to a conversation: who is in
-- it, and whether one of two has blocked the other. Whoever remembers that somebody may write
-- remembers it for one version.
ALTER TABLE conversations ADD COLUMN access_version BIGINT NOT NULL DEFAULT 0;
