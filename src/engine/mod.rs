//! The engine: shards, messages, directory, claims, journal, recovery, snapshotter; the face is `Engine`.
