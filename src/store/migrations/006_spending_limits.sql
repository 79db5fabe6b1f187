-- What may leave a wallet: what its owner set, what the operator set, and raises of the owner's that wait. The wallet itself
-- keeps the lesser of the first two; here stands what it is to keep. NULL: not limited.
CREATE TABLE spending_limits (
    wallet TEXT PRIMARY KEY,
    -- Whom to tell of changes; nobody, where the wallet is no account's.
    account TEXT,
    own_per_payment BIGINT,
    own_per_day BIGINT,
    own_per_month BIGINT,
    own_utc_offset_minutes BIGINT NOT NULL,
    operator_per_payment BIGINT,
    operator_per_day BIGINT,
    operator_per_month BIGINT,
    operator_utc_offset_minutes BIGINT NOT NULL,
    -- What the owner's limits become, and when; without a time nothing waits.
    raise_per_payment BIGINT,
    raise_per_payment_at BIGINT,
    raise_per_day BIGINT,
    raise_per_day_at BIGINT,
    raise_per_month BIGINT,
    raise_per_month_at BIGINT,
    raise_utc_offset_minutes BIGINT,
    raise_utc_offset_at BIGINT,
    -- The earliest of these.
    next_raise_at BIGINT,
    -- Rises with each change. Whoever has brought the wallet to an older one has not brought it to this one.
    revision BIGINT NOT NULL,
    -- Nothing when the wallet keeps what stands here.
    unapplied_since BIGINT
);
CREATE INDEX spending_limits_unapplied ON spending_limits (unapplied_since);
CREATE INDEX spending_limits_due ON spending_limits (next_raise_at);
