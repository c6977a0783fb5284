CREATE TABLE IF NOT EXISTS "omnichat_invites" (
    campaign VARCHAR(250) NOT NULL,
    recipient VARCHAR(32) NOT NULL,
    row_key TEXT,
    outcome VARCHAR(16),
    message_id VARCHAR(255),
    status_group INTEGER,
    status_id INTEGER,
    status_name VARCHAR(255),
    message_count INTEGER,
    attempts INTEGER NOT NULL,
    error TEXT,
    answer TEXT,
    claimed_by VARCHAR(250) NOT NULL,
    claim_id CHAR(32) NOT NULL,
    claimed_at TIMESTAMP(6) NOT NULL,
    ended_at TIMESTAMP(6),
    PRIMARY KEY (recipient, campaign)
);
