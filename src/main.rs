use std::process::ExitCode;

// The system's allocator keeps what a burst took; mimalloc gives it back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    rhizome::node::prefer_small_pages();
    rhizome::cli::main()
}
