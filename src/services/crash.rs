//! Named steps at which a test ends the process as kill -9 would: `FLORIN_CRASH_AT=withdrawal.after_row`. A release build
//! has none of it.

/// Ends the process here, without any clearing up, if this is the step that was asked for.
#[cfg(debug_assertions)]
pub fn point(step: &str) {
    use std::sync::LazyLock;

    static WANTED: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("FLORIN_CRASH_AT").ok());
    if WANTED.as_deref() == Some(step) {
        std::process::abort();
    }
}

#[cfg(not(debug_assertions))]
pub fn point(_: &str) {}
