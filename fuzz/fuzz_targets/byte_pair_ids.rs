#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| inkstone_fuzz::run("byte_pair_ids", data));
