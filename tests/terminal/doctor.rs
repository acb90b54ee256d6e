//! `fanwire doctor` on the machine that runs the tests, whatever it is. What it says of others: `src/cli/doctor/tests.rs`.

use crate::{run, said, shown};

#[test]
#[cfg(target_os = "linux")]
fn each_line_has_a_verdict_or_a_fix_and_the_exit_code_is_the_worst_of_them() {
    for connections in ["1", "100000000"] {
        let output = run(&["doctor", "--connections", connections, "--listen", "1"], b"");
        let report = shown(&output);
        let lines: Vec<&str> = report.lines().collect();
        let (conclusion, findings) = lines.split_last().unwrap();
        let begins =
            |line: &str, verdict: &str| line.starts_with(&format!("{verdict}: ").replace(": ", "  "));
        for (line, next) in findings.iter().zip(&lines[1..]) {
            let has_fix = next.starts_with("      set: ");
            let is_fix = line.starts_with("      set: ");
            assert!(
                is_fix || begins(line, "ok  ") != (begins(line, "warn") || begins(line, "fail")),
                "{line}"
            );
            assert_eq!(has_fix, !is_fix && !begins(line, "ok  "), "{line}");
        }
        let fails = findings.iter().any(|line| line.starts_with("fail"));
        assert_eq!(output.status.code(), Some(i32::from(fails)), "{report}");
        assert_eq!(conclusion.ends_with("not with what fails above"), fails, "{conclusion}");
        assert!(connections == "1" || fails, "no machine has so many descriptors for one process: {report}");
    }
}

#[test]
fn a_number_that_is_none_is_named() {
    let output = run(&["doctor", "--connections", "0"], b"");
    assert_eq!((output.status.code(), said(&output).contains("--connections")), (Some(2), true));
}
