-- By what people show who they are. Codes are kept as keyed digests, tokens as plain hashes of 256 random bits.

-- Somebody was asked for a code: one that was sent, or one of a device. Each row has a few tries and succeeds once.
CREATE TABLE challenges (
    -- An id, or the hash of the token that stands for it.
    id TEXT PRIMARY KEY,
    -- address: to show that an address is one's own; second_factor: to sign in; payment: to confirm one.
    purpose TEXT NOT NULL,
    account TEXT,
    kind TEXT,
    address_sealed TEXT,
    -- Nothing where a device makes the code.
    code_digest TEXT,
    -- Of a second factor: what the first one was.
    signed_in_by TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    next_try_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX challenges_by_expiry ON challenges (expires_at);

-- What somebody who has shown an address, and has no account yet, opens one with.
CREATE TABLE registrations (
    token_hash TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    address_sealed TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);

CREATE TABLE passwords (
    account TEXT PRIMARY KEY REFERENCES accounts (id),
    hash_sealed TEXT NOT NULL,
    changed_at BIGINT NOT NULL
);

-- How often something was tried by, or of, somebody, and when it may be tried again.
CREATE TABLE paces (
    purpose TEXT NOT NULL,
    subject TEXT NOT NULL,
    tries BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    PRIMARY KEY (purpose, subject)
);
CREATE INDEX paces_by_age ON paces (last_at);

CREATE TABLE totps (
    account TEXT PRIMARY KEY REFERENCES accounts (id),
    secret_sealed TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- Not asked for before.
    confirmed_at BIGINT,
    -- Codes of this step and of those before it have been used, or are too old.
    last_step BIGINT NOT NULL
);

CREATE TABLE recovery_codes (
    account TEXT NOT NULL REFERENCES accounts (id),
    code_digest TEXT NOT NULL,
    used_at BIGINT,
    PRIMARY KEY (account, code_digest)
);

-- A payment that somebody confirms; the challenge has the same id.
CREATE TABLE confirmations (
    id TEXT PRIMARY KEY REFERENCES challenges (id),
    account TEXT NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency TEXT NOT NULL,
    payee_wallet TEXT NOT NULL,
    token_hash TEXT UNIQUE,
    token_expires_at BIGINT,
    -- The request that the token was used for.
    used_for TEXT
);

CREATE INDEX refresh_tokens_by_use ON refresh_tokens (used_at);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- By what the session's owner showed who he is: code or password.
ALTER TABLE sessions ADD COLUMN signed_in_by TEXT NOT NULL DEFAULT 'code';
