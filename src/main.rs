//! The program `florin`: from the command line to the exit code. Each command is a file in `cli`;
//! what they command is in the library beside this file.

mod cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
