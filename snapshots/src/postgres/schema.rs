//! The tables, version by version. A version that has been released is never
//! changed: what is to be different becomes the next one.

use sqlx::postgres::PgConnection;
use sqlx::{query, query_scalar, raw_sql};

/// The version that this program works with.
pub(super) const VERSION: i32 = VERSIONS.len() as i32;

const VERSIONS: [&str; 2] = [
    "
    CREATE TABLE florin_snapshots (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        log_id bytea NOT NULL CHECK (octet_length(log_id) = 16),
        lsn bigint NOT NULL CHECK (lsn >= 0),
        time_micros bigint NOT NULL CHECK (time_micros >= 0),
        taken_at timestamptz NOT NULL GENERATED ALWAYS AS (to_timestamp(time_micros / 1000000.0)) STORED,
        chain_hash bytea NOT NULL,
        version integer NOT NULL,
        state bytea NOT NULL,
        kinds smallint[] NOT NULL,
        kind_rows bigint[] NOT NULL,
        block_count bigint NOT NULL,
        bytes bigint NOT NULL CHECK (bytes >= 0),
        hash bytea NOT NULL,
        crc bigint NOT NULL,
        complete boolean NOT NULL
    );
    CREATE UNIQUE INDEX florin_snapshots_of_a_log ON florin_snapshots (log_id, lsn) WHERE complete;
    CREATE TABLE florin_snapshot_blocks (
        snapshot bigint NOT NULL REFERENCES florin_snapshots (id) ON DELETE CASCADE,
        block_no bigint NOT NULL,
        kind smallint NOT NULL,
        rows bigint NOT NULL,
        bytes bytea NOT NULL,
        crc bigint NOT NULL,
        PRIMARY KEY (snapshot, block_no)
    );
    ALTER TABLE florin_snapshot_blocks ALTER COLUMN bytes SET STORAGE EXTERNAL;
",
    "
    ALTER TABLE florin_snapshots ADD COLUMN data_key bytea;
    ALTER TABLE florin_snapshots ADD COLUMN salt bytea;
",
];

/// Two servers that come at the same time must not both make the tables; the
/// number is ours by choice and means nothing.
const LOCK: i64 = 0x666c_6f72_696e;

/// Brings the tables up to this program's version, unless they are there or
/// beyond, and answers their version. Whoever may only read can do so where
/// the tables are up to date.
pub(super) async fn migrate(connection: &mut PgConnection) -> sqlx::Result<i32> {
    let found = version(connection).await?;
    if found >= VERSION {
        return Ok(found);
    }
    raw_sql("BEGIN").execute(&mut *connection).await?;
    query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *connection).await?;
    let mut found = version(connection).await?;
    if found == 0 {
        let sql = "CREATE TABLE IF NOT EXISTS florin_snapshot_schema (\
                   version integer PRIMARY KEY, since timestamptz NOT NULL DEFAULT now())";
        raw_sql(sql).execute(&mut *connection).await?;
    }
    while let Some(sql) = usize::try_from(found).ok().and_then(|index| VERSIONS.get(index)) {
        raw_sql(*sql).execute(&mut *connection).await?;
        found += 1;
        query("INSERT INTO florin_snapshot_schema (version) VALUES ($1)").bind(found).execute(&mut *connection).await?;
    }
    raw_sql("COMMIT").execute(&mut *connection).await?;
    Ok(found)
}

async fn version(connection: &mut PgConnection) -> sqlx::Result<i32> {
    let sql = "SELECT to_regclass('florin_snapshot_schema') IS NOT NULL";
    if !query_scalar::<_, bool>(sql).fetch_one(&mut *connection).await? {
        return Ok(0);
    }
    query_scalar("SELECT coalesce(max(version), 0) FROM florin_snapshot_schema").fetch_one(&mut *connection).await
}
