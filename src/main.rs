use std::process::ExitCode;

// The system's allocator keeps what a burst took; mimalloc gives it back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    rhizome::cli::main()
}
