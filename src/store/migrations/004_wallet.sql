-- Money on its way between a wallet and a bank. The row comes first; each step of it is a transfer whose id is made from the
-- row's, or an order at the bank under the row's own id, so that any step may be repeated.
CREATE TABLE bank_moves (
    -- What the request's Idempotency-Key stands for.
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    account TEXT NOT NULL REFERENCES accounts (id),
    wallet TEXT NOT NULL,
    amount BIGINT NOT NULL,
    currency TEXT NOT NULL,
    bank_account_sealed TEXT NOT NULL,
    -- Whether a repeat asks for the same.
    bank_account_digest TEXT NOT NULL,
    state TEXT NOT NULL,
    step TEXT NOT NULL,
    -- How often the ledger has refused this step's transfer: each try has an id of its own.
    refusals BIGINT NOT NULL,
    -- How often the bank was asked in this step.
    attempts BIGINT NOT NULL,
    -- Nothing when it is over.
    next_attempt_at BIGINT,
    bank_reference TEXT,
    failure TEXT,
    created_at BIGINT NOT NULL,
    taken_at BIGINT,
    bank_ended_at BIGINT,
    ended_at BIGINT
);
CREATE INDEX bank_moves_due ON bank_moves (next_attempt_at);
CREATE INDEX bank_moves_by_account ON bank_moves (account, kind, created_at, id);

-- Somebody asks somebody for money.
CREATE TABLE money_requests (
    id TEXT PRIMARY KEY,
    requester TEXT NOT NULL REFERENCES accounts (id),
    payer TEXT NOT NULL REFERENCES accounts (id),
    amount BIGINT NOT NULL,
    currency TEXT NOT NULL,
    note_sealed TEXT,
    state TEXT NOT NULL,
    -- While it is paid, and after: the request that pays it, from which the transfer's id is made.
    paying_key TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);
CREATE INDEX money_requests_in ON money_requests (payer, created_at, id);
CREATE INDEX money_requests_out ON money_requests (requester, created_at, id);
CREATE INDEX money_requests_open ON money_requests (state, expires_at);
