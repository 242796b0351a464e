-- Plain SQL that SQLite takes as it is. A backend may adapt a statement to its database
-- (automatic numbers, table options), but never its meaning. Indexes are written as
-- UNIQUE constraints inside the tables, the one form that all databases share. Not every database
-- can take back half a migration, so each statement can be carried out twice.

-- An account. `name_key` is the name in lower case: names that differ only in case are one.
-- `roster_version` grows by one with every change of the user's friends, groups or requests.
CREATE TABLE IF NOT EXISTS users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name VARCHAR(32) NOT NULL,
    name_key VARCHAR(32) NOT NULL,
    password_hash VARCHAR(255) NOT NULL,
    registered_ms BIGINT NOT NULL,
    roster_version BIGINT NOT NULL,
    UNIQUE (name_key)
);

-- A device that may resume without the password, known by the SHA-256 of its token.
CREATE TABLE IF NOT EXISTS devices (
    token_sha256 BINARY(32) NOT NULL,
    user_id BIGINT NOT NULL,
    opened_ms BIGINT NOT NULL,
    PRIMARY KEY (token_sha256),
    UNIQUE (user_id, token_sha256),
    FOREIGN KEY (user_id) REFERENCES users (id)
);

-- A log and its head, the seq of its last entry, 0 when it is empty. The row's lock is what
-- gives out seqs. `kind` is direct (between two users, the lower number first; name empty) or
-- group (no pair). A closed group takes no more entries and has no members.
CREATE TABLE IF NOT EXISTS conversations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind VARCHAR(8) NOT NULL,
    head BIGINT NOT NULL,
    name VARCHAR(64) NOT NULL,
    description VARCHAR(256) NOT NULL,
    closed SMALLINT NOT NULL,
    low_user_id BIGINT,
    high_user_id BIGINT,
    UNIQUE (low_user_id, high_user_id),
    FOREIGN KEY (low_user_id) REFERENCES users (id),
    FOREIGN KEY (high_user_id) REFERENCES users (id)
);

-- The present members of a conversation. `since_seq` is the first entry the user may see: in a group
-- the user's own `joined`, so its order is the order of joining; 1 between two users, who have
-- their rows for as long as they are friends. `read_seq` is how far the user has read.
CREATE TABLE IF NOT EXISTS members (
    conversation_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    role VARCHAR(8) NOT NULL,
    since_seq BIGINT NOT NULL,
    read_seq BIGINT NOT NULL,
    PRIMARY KEY (conversation_id, user_id),
    UNIQUE (user_id, conversation_id),
    FOREIGN KEY (conversation_id) REFERENCES conversations (id),
    FOREIGN KEY (user_id) REFERENCES users (id)
);

-- The log. Written once, never changed, never deleted. `key` is the sender's own name for a
-- text, NULL for all other kinds. No foreign keys: they would lock the senders' rows in the
-- order of arrival, and the transactions have just read the conversation under its lock.
CREATE TABLE IF NOT EXISTS entries (
    conversation_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    kind VARCHAR(16) NOT NULL,
    sender_id BIGINT NOT NULL,
    text VARCHAR(4000) NOT NULL,
    at_ms BIGINT NOT NULL,
    `key` VARCHAR(64),
    PRIMARY KEY (conversation_id, seq),
    UNIQUE (sender_id, `key`)
);

-- `user_id` asked `friend_id`, at `asked_ms`. They are friends when both rows are there, and
-- only then do both name the conversation between the two.
CREATE TABLE IF NOT EXISTS friendships (
    user_id BIGINT NOT NULL,
    friend_id BIGINT NOT NULL,
    conversation_id BIGINT,
    asked_ms BIGINT NOT NULL,
    PRIMARY KEY (user_id, friend_id),
    UNIQUE (friend_id, user_id),
    FOREIGN KEY (user_id) REFERENCES users (id),
    FOREIGN KEY (friend_id) REFERENCES users (id),
    FOREIGN KEY (conversation_id) REFERENCES conversations (id)
);

-- `user_id` has blocked `blocked_id`: neither may write to the other, or ask to be friends.
CREATE TABLE IF NOT EXISTS blocks (
    user_id BIGINT NOT NULL,
    blocked_id BIGINT NOT NULL,
    PRIMARY KEY (user_id, blocked_id),
    UNIQUE (blocked_id, user_id),
    FOREIGN KEY (user_id) REFERENCES users (id),
    FOREIGN KEY (blocked_id) REFERENCES users (id)
);

-- One row: the number of the last migration that was carried out.
CREATE TABLE IF NOT EXISTS schema_version (
    version BIGINT NOT NULL
);
