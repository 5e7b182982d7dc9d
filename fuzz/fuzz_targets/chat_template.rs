#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| inkstone_fuzz::run("chat_template", data));
