-- What the nodes that share this store are called where they meet those of others. One row, drawn
-- at random by the first node. Whoever copies a store to make another cluster of it empties this.
CREATE TABLE IF NOT EXISTS cluster (
    only_row SMALLINT NOT NULL PRIMARY KEY,
    name VARCHAR(32) NOT NULL
);
