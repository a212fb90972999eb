//! The binary from outside: its command line, its refusals, its store; and the fuzzers' seeds.

mod command_line;
mod corpus;
