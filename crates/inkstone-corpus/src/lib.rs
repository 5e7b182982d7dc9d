//! Readers, documents, deduplication, token shards, the loader and the built-in sample world.
