-- What the notifier works on. Migrations 002 to 004 belong to other parts and may come later; none depends on another.
CREATE TABLE views (
    name TEXT PRIMARY KEY,
    -- The last position of the log, or number of an event, that is in the store.
    position BIGINT NOT NULL
);

-- Wallets beside the one that an account opened with: the log told of them.
CREATE TABLE account_wallets (
    wallet TEXT PRIMARY KEY,
    account TEXT NOT NULL
);

-- One message to one address.
CREATE TABLE deliveries (
    id TEXT PRIMARY KEY,
    account TEXT,
    channel TEXT NOT NULL,
    address_sealed TEXT NOT NULL,
    locale TEXT NOT NULL,
    kind TEXT NOT NULL,
    -- As JSON; emptied when nobody needs it any more, since codes are in it.
    params_sealed TEXT NOT NULL,
    -- queued, sent, dead, expired, suppressed, discarded
    state TEXT NOT NULL,
    -- 0: somebody is waiting for it.
    urgency BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    -- Of a claimed one: when the claim lapses.
    next_attempt_at BIGINT NOT NULL,
    claimed BIGINT NOT NULL,
    last_error TEXT,
    provider_id TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    done_at BIGINT
);
CREATE INDEX deliveries_due ON deliveries (state, channel, urgency, next_attempt_at);
CREATE INDEX deliveries_done ON deliveries (state, done_at, id);

-- What the live stream tells, in its order; numbers rise by commit.
CREATE TABLE feed (
    account TEXT NOT NULL,
    number BIGINT NOT NULL,
    kind TEXT NOT NULL,
    body_sealed TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account, number)
);
CREATE INDEX feed_by_time ON feed (created_at);

-- Only what differs from the default.
CREATE TABLE notification_choices (
    account TEXT NOT NULL,
    kind TEXT NOT NULL,
    channel TEXT NOT NULL,
    is_on BIGINT NOT NULL,
    PRIMARY KEY (account, kind, channel)
);

-- Where push messages go.
CREATE TABLE devices (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    platform TEXT NOT NULL,
    token_digest TEXT NOT NULL UNIQUE,
    token_sealed TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX devices_by_account ON devices (account, created_at);
