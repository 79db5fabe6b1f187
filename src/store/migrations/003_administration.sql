-- What administrators did, each row chained to the one before it by its hash. The head is one row, so that on a database
-- with many writers they stand in line for it.
CREATE TABLE audit_head (
    name TEXT PRIMARY KEY,
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL
);
INSERT INTO audit_head (name, seq, hash)
VALUES ('audit', 0, '0000000000000000000000000000000000000000000000000000000000000000');

CREATE TABLE audit (
    seq BIGINT PRIMARY KEY,
    recorded_at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    -- JSON; people write reasons into it.
    detail_sealed TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE INDEX audit_by_actor ON audit (actor, seq);
CREATE INDEX audit_by_object ON audit (object, seq);

-- Why nothing was paid under the promotion, where the ledger refused it.
ALTER TABLE accounts ADD COLUMN promotion_refused TEXT;

-- A handle that was given up is nobody else's, ever: whoever pays it would pay a stranger.
ALTER TABLE addresses ADD COLUMN retired_at BIGINT;

-- Which account a registration token became, so that a repeat of the request finds it.
CREATE TABLE registrations_done (
    token_hash TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    key_hash TEXT NOT NULL,
    done_at BIGINT NOT NULL
);

-- Wallets that were frozen because of their owner's state, and not by anybody else.
CREATE TABLE frozen_wallets (
    account TEXT NOT NULL REFERENCES accounts (id),
    wallet TEXT NOT NULL,
    PRIMARY KEY (account, wallet)
);

CREATE TABLE promotions (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    amount BIGINT NOT NULL,
    currency TEXT NOT NULL,
    budget_wallet TEXT NOT NULL UNIQUE,
    wallet_opened_at BIGINT,
    starts_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX promotions_by_end ON promotions (ends_at);

CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    -- The first digits, by which its owner knows it again.
    prefix TEXT NOT NULL,
    key_hash TEXT NOT NULL UNIQUE,
    -- With a space between two.
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    -- The key that came in its place.
    replaced_by TEXT,
    -- Of the day on which it was used last, the first moment.
    last_used_day BIGINT
);
CREATE INDEX api_keys_by_account ON api_keys (account, id);

-- Corrections of balances by hand. The row comes first; the transfer's id is made from its own.
CREATE TABLE adjustments (
    id TEXT PRIMARY KEY,
    wallet TEXT NOT NULL,
    amount BIGINT NOT NULL,
    currency TEXT NOT NULL,
    direction TEXT NOT NULL,
    reason_sealed TEXT NOT NULL,
    state TEXT NOT NULL,
    asked_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    decided_by TEXT,
    decided_at BIGINT,
    -- When the ledger had answered, and what it said if it refused.
    settled_at BIGINT,
    refused TEXT
);
CREATE INDEX adjustments_by_state ON adjustments (state, created_at);
CREATE INDEX adjustments_by_asker ON adjustments (asked_by, created_at);
