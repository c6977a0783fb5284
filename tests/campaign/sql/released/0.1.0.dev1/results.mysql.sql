CREATE TABLE omnichat_results (
    batch VARCHAR(250) NOT NULL,
    list_row INTEGER NOT NULL,
    row_key VARCHAR(1000),
    recipient VARCHAR(64),
    outcome VARCHAR(16) NOT NULL,
    message_id VARCHAR(255),
    status_group INTEGER,
    status_id INTEGER,
    status_name VARCHAR(255),
    message_count INTEGER,
    attempts INTEGER NOT NULL,
    error VARCHAR(1000),
    ended_at DATETIME(6) NOT NULL,
    try_id VARCHAR(40) NOT NULL,
    PRIMARY KEY (batch, list_row, try_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
