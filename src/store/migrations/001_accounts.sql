-- Ids are UUIDs in lower case, times are microseconds since 1970 (UTC), flags are times or nothing. What ends in _sealed is
-- encrypted, what ends in _digest is a keyed hash by which it can be found.
CREATE TABLE accounts (
    id TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    state TEXT NOT NULL,
    name_sealed TEXT NOT NULL,
    locale TEXT NOT NULL,
    currency TEXT NOT NULL,
    wallet TEXT NOT NULL UNIQUE,
    -- Nothing until the ledger has the wallet; a sweep sees to that.
    wallet_opened_at BIGINT,
    -- The promotion under which the account was opened, and whether it was paid.
    promotion TEXT,
    promotion_paid_at BIGINT,
    created_at BIGINT NOT NULL,
    -- Of a pending account: when it becomes active by itself; nothing: when somebody approves it.
    active_from BIGINT,
    state_changed_at BIGINT NOT NULL,
    -- What the wallet's status has to become, until the ledger has it.
    wallet_status_wanted TEXT
);
CREATE INDEX accounts_by_state ON accounts (state, created_at);

CREATE TABLE addresses (
    kind TEXT NOT NULL,
    address_digest TEXT NOT NULL,
    address_sealed TEXT NOT NULL,
    account TEXT NOT NULL REFERENCES accounts (id),
    verified_at BIGINT NOT NULL,
    PRIMARY KEY (kind, address_digest)
);
CREATE INDEX addresses_by_account ON addresses (account);

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    device TEXT NOT NULL,
    network_address TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    ended_because TEXT
);
CREATE INDEX sessions_by_account ON sessions (account, created_at);
CREATE INDEX sessions_by_end ON sessions (ended_at);

-- A family is a session: of its tokens only the newest may be used, and each once.
CREATE TABLE refresh_tokens (
    token_hash TEXT PRIMARY KEY,
    session TEXT NOT NULL REFERENCES sessions (id),
    issued_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session);

-- What people are to be told, written together with what it tells of, and sent afterwards.
CREATE TABLE outbox (
    id TEXT PRIMARY KEY,
    -- Whom it is for: an account, or, where there is none yet, an address (sealed).
    account TEXT,
    channel TEXT,
    address_sealed TEXT,
    locale TEXT NOT NULL,
    kind TEXT NOT NULL,
    -- What the template needs, as JSON, sealed: codes are in it.
    params_sealed TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- Nothing may be sent after this time: a code that has expired is of no use.
    expires_at BIGINT,
    -- Taken apart into deliveries.
    done_at BIGINT
);
CREATE INDEX outbox_open ON outbox (done_at, created_at);
