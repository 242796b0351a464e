-- What a user may have only so many of is counted by these indexes: open friend requests, whose
-- conversation is NULL, and groups. `in_group` says of a membership that its conversation is a group.
ALTER TABLE members ADD COLUMN in_group SMALLINT NOT NULL DEFAULT 0;
UPDATE members SET in_group = 1 WHERE conversation_id IN (SELECT id FROM conversations WHERE kind = 'group');
CREATE INDEX requests_made ON friendships (user_id, conversation_id);
CREATE INDEX requests_received ON friendships (friend_id, conversation_id);
CREATE INDEX groups_of_user ON members (user_id, in_group, role);
