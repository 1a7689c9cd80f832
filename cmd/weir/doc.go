// Command weir is a persistent, tiered HTTP cache that runs in front of origin
// servers. "weir serve --demo" shows it at work; "weir --help" lists the rest.
//
// It owns flags, the configuration file, signals, exit codes, and the wiring of
// the packages' concrete types to the small interfaces that their consumers
// declare.
//
// What must always hold:
//   - Exit status 0 is done, 1 failed, 2 wrong usage. A message says what
//     happened, where, and what to do.
//   - A flag given on the command line wins over its environment variable, that
//     over the configuration file, that over the default.
//   - The client listener answers nothing before the disk tier is loaded: early
//     connections wait in the backlog instead of being refused or missing.
//   - A policy that is refused changes nothing.
//   - A node that other machines reach without a secret or a token does not start.
//   - An edge serves when it knows the purge log, or after two seconds without a shield.
//
// It must never make a decision that a package could make.
package main
