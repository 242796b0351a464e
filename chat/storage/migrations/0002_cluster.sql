-- The name of the cluster of the nodes that share this store, which keeps clusters on one Redis apart.
-- One row, drawn at random by the first node. To make another cluster of a copy of a store, empty it.
CREATE TABLE IF NOT EXISTS cluster (
    only_row SMALLINT NOT NULL PRIMARY KEY,
    name VARCHAR(32) NOT NULL
);
