//! Memory that nobody needs any more goes back to the system.
//!
//! glibc takes each large piece of memory from the system by itself and gives it back when it is freed; but it learns from
//! each how large a piece may be that it keeps instead (mallopt(3), `M_MMAP_THRESHOLD`). So what large messages took would
//! stay taken: of a thousand half-sent ones that filled a budget of 256 MiB, 190 to 310 MiB stayed resident when all were
//! gone, and 24 to 31 with a threshold that is fixed. It can be fixed in the environment only, before a program starts: so
//! this one starts again, in the same process, with the same arguments and descriptors.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn give_memory_back() {
    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::{env, ffi::OsString};

    /// Set, it is left as it is.
    const VARIABLE: &str = "MALLOC_MMAP_THRESHOLD_";
    /// Which process has started again. The other variable does not say so: of a program that has more rights than whoever
    /// starts it, by setcap(8) say, the dynamic linker takes it out of the environment (glibc from 2.39 on).
    const STARTED_AGAIN: &str = "FANWIRE_STARTED_AGAIN";
    /// Bytes: what glibc begins with. No smaller, for each such piece costs two system calls.
    const THRESHOLD: &str = "131072";

    let process = std::process::id().to_string();
    let has_started_again = env::var(STARTED_AGAIN).is_ok_and(|started_again| started_again == process);
    if has_started_again || env::var_os(VARIABLE).is_some() {
        return;
    }
    let Ok(program) = env::current_exe() else { return };
    if program.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"ld-")) {
        // The dynamic linker, called by its name: who we are is among its arguments.
        return;
    }
    let mut arguments = env::args_os();
    let name = arguments.next().unwrap_or_else(|| OsString::from("fanwire"));
    // It returns only if the system refuses, and then memory is kept, which harms nobody.
    let mut again = Command::new(program);
    again.arg0(name).args(arguments).env(VARIABLE, THRESHOLD).env(STARTED_AGAIN, process);
    let _refused = again.exec();
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_memory_back() {}
