//! The report as a page: one file of HTML with its style and its plots inside, that loads nothing and runs nothing.

use super::super::outcome::{Mode, Moment, Outcome};
use super::super::quantity;
use super::plot::{Axis, Hint, Line, Mark, Plot, Tick};
use super::{QUANTILES, as_f64, per_second, summary};
use std::time::Duration;

/// As many pieces of the window are plotted at most: more could not be told apart, and the page would grow with the run.
const MOMENTS_MAX: usize = 120;

/// What the distribution of latencies shows at its right end: 99.999 %, in nines.
const NINES_MAX: u32 = 5;

/// Points of that line for each nine.
const POINTS_PER_NINE: u32 = 24;

const STYLE: &str = include_str!("page.css");

/// The outcome as a page of its own.
pub(crate) fn page(outcome: &Outcome) -> String {
    let mode = outcome.mode.name();
    let address = escaped(summary::address(outcome));
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "\
<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<meta name=\"color-scheme\" content=\"light dark\">
<meta name=\"referrer\" content=\"no-referrer\">
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">
<title>fanwire bench {mode} {address}</title>
<style>
{STYLE}</style>
</head>
<body>
<main>
<h1><span>fanwire</span> bench {mode}</h1>
<p class=\"address\">{address}</p>
{says}{headlines}{throughput}{latency}{distribution}{figures}{settings}<footer>Made by <code>fanwire bench</code> {version}.</footer>
</main>
</body>
</html>
",
        says = says(outcome),
        headlines = headlines(&summary::rows(outcome)),
        throughput = throughput(outcome),
        latency = latency(outcome),
        distribution = distribution(outcome),
        figures = figures(&summary::rows(outcome)),
        settings = settings(outcome),
    )
}

/// Text that may stand in an element or between quotes. What is not to be seen is shown as �.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ if character.is_control() => escaped.push(char::REPLACEMENT_CHARACTER),
            _ => escaped.push(character),
        }
    }
    escaped
}

fn says(outcome: &Outcome) -> String {
    let item = |class, text: &str| format!("<li class=\"{class}\">{}</li>\n", escaped(text));
    let verdict = match summary::verdict(outcome) {
        Ok(good) => item("good", good),
        Err(faults) => faults.iter().map(|fault| item("bad", fault)).collect(),
    };
    let warning = summary::warning(outcome).map(|warning| item("warning", &warning)).unwrap_or_default();
    format!("<ul class=\"says\">\n{verdict}{warning}</ul>\n")
}

fn headlines(rows: &[summary::Row]) -> String {
    let headlines = rows.iter().filter(|row| row.is_headline).map(|row| {
        let summary::Row { section, name, number, unit, .. } = row;
        let name = if *section == "throughput" { (*name).to_owned() } else { format!("{section} {name}") };
        format!("<div><dt>{name}</dt><dd>{number} <small>{unit}</small></dd></div>\n")
    });
    format!("<dl class=\"heads\">\n{}</dl>\n", headlines.collect::<Vec<_>>().concat())
}

fn throughput(outcome: &Outcome) -> String {
    let moments = thinned(&outcome.course);
    let rate = |moment: &Stretch| per_second(moment.units, moment.end.saturating_sub(moment.begin));
    let most = moments.iter().map(rate).fold(0.0, f64::max);
    let Some((x, place)) = time_axis(&moments).filter(|_| outcome.mode != Mode::Idle) else {
        return String::new();
    };
    let y = Axis::linear(most, true, short);
    let units = outcome.mode.units();
    let points = steps(&moments, &place, |moment| y.place(rate(moment)));
    let hints = moments.iter().map(|moment| {
        let text = format!("{}: {} {units}/s", seconds(moment.end), quantity::decimal(rate(moment).round()));
        Hint { begin: place(moment.begin), end: place(moment.end), text }
    });
    let hints = hints.collect();
    let lines = vec![Line { class: "units", points, is_filled: true }];
    let plot = Plot { title: "Throughput over time", x, y, lines, marks: Vec::new(), hints };
    section("Throughput", &format!("{units}/s"), &plot, "seconds of the measured window")
}

fn latency(outcome: &Outcome) -> String {
    let moments = thinned(&outcome.course);
    let latencies = moments.iter().filter(|moment| moment.max_ns > 0);
    let least = latencies.clone().map(|moment| moment.p50_ns).min();
    let most = latencies.map(|moment| moment.max_ns).max();
    let (Some(least), Some(most), Some((x, place))) = (least, most, time_axis(&moments)) else {
        return String::new();
    };
    let y = latency_axis(least, most);
    let line = |class, of: fn(&Stretch) -> u64| Line {
        class,
        points: steps(&moments, &place, |moment| y.place(as_f64(of(moment)))),
        is_filled: false,
    };
    let lines = vec![
        line("max", |moment| moment.max_ns),
        line("p99", |moment| moment.p99_ns),
        line("p50", |moment| moment.p50_ns),
    ];
    let hints = moments.iter().map(|moment| {
        let [p50, p99, max] = [moment.p50_ns, moment.p99_ns, moment.max_ns]
            .map(|nanoseconds| quantity::time(nanoseconds).together());
        let end = seconds(moment.end);
        let text = if moment.max_ns > 0 {
            format!("{end}: p50 {p50}, p99 {p99}, max {max}")
        } else {
            format!("{end}: nothing arrived")
        };
        Hint { begin: place(moment.begin), end: place(moment.end), text }
    });
    let hints = hints.collect();
    let plot = Plot { title: "Latency over time", x, y, lines, marks: Vec::new(), hints };
    let about = format!(
        "<span class=\"key p50\">p50</span><span class=\"key p99\">p99</span><span class=\"key max\">max</span>logarithmic{}",
        thinned_note(outcome)
    );
    section("Latency", &about, &plot, "seconds of the measured window")
}

/// The latency at each percentile, the last ones stretched, as HDR histograms are plotted: each nine is as wide as the
/// one before it.
fn distribution(outcome: &Outcome) -> String {
    let latency = &outcome.latency_ns;
    if latency.is_empty() {
        return String::new();
    }
    // So many that there are samples behind the last.
    let last = latency.len().ilog10().clamp(2, NINES_MAX);
    let nines_end = f64::from(last);
    let at = |nines: f64| as_f64(latency.value_at_quantile(1.0 - 10_f64.powf(-nines)).max(1));
    let y = latency_axis(latency.min(), latency.value_at_quantile(1.0 - 10_f64.powf(-nines_end)));
    let mut points = Vec::new();
    for step in 0..=last * POINTS_PER_NINE {
        let nines = f64::from(step) / f64::from(POINTS_PER_NINE);
        points.push(y.place(at(nines)).map(|y| (nines / nines_end, y)));
    }
    let marks = QUANTILES.iter().filter_map(|(_, quantile)| {
        let x = -(1.0 - quantile).log10() / nines_end;
        let value = latency.value_at_quantile(*quantile);
        let label = quantity::time(value).together();
        (x <= 1.0).then_some(Mark { x, y: y.place(as_f64(value.max(1)))?, label })
    });
    let marks = marks.collect();
    let labels = ["0", "90", "99", "99.9", "99.99", "99.999"];
    let ticks =
        labels.iter().zip(0..).map(|(label, nines)| (f64::from(nines) / nines_end, (*label).to_owned()));
    let ticks = ticks.filter(|(place, _)| *place <= 1.0).map(|(place, label)| Tick { place, label });
    let x = Axis::with(ticks.collect());
    let lines = vec![Line { class: "p50", points, is_filled: true }];
    let plot = Plot { title: "Latency by percentile", x, y, lines, marks, hints: Vec::new() };
    section("Latency by percentile", "logarithmic, both ways", &plot, "percentile")
}

fn figures(rows: &[summary::Row]) -> String {
    let mut last_section = "";
    let rows = rows.iter().map(|summary::Row { section, name, number, unit, note, .. }| {
        let is_same = *section == last_section;
        let (class, shown) = if is_same { (" class=\"same\"", "") } else { ("", *section) };
        last_section = section;
        format!(
            "<tr{class}><th>{shown}</th><td>{name}</td><td class=\"number\">{number}</td>\
             <td class=\"unit\">{unit}</td><td class=\"note\">{note}</td></tr>\n"
        )
    });
    let rows = rows.collect::<Vec<_>>().concat();
    format!("<h2>Figures</h2>\n<table class=\"summary\">\n{rows}</table>\n")
}

fn settings(outcome: &Outcome) -> String {
    let rows = outcome
        .settings
        .iter()
        .map(|(name, value)| format!("<tr><th>{}</th><td>{}</td></tr>\n", escaped(name), escaped(value)));
    let rows = rows.collect::<Vec<_>>().concat();
    format!("<h2>Settings</h2>\n<table class=\"settings\">\n{rows}</table>\n")
}

fn section(title: &str, about: &str, plot: &Plot, x_title: &str) -> String {
    let svg = plot.svg();
    format!(
        "<section>\n<h2>{title}</h2>\n<p class=\"about\">{about}</p>\n{svg}<p class=\"axis\">{x_title}</p>\n</section>\n"
    )
}

/// One or several moments.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    begin: Duration,
    end: Duration,
    units: u64,
    /// Of several moments, the worst.
    p50_ns: u64,
    p99_ns: u64,
    max_ns: u64,
}

/// The course in as many pieces as a plot can show.
fn thinned(course: &[Moment]) -> Vec<Stretch> {
    let mut begin = Duration::ZERO;
    let stretches = course.chunks(together(course)).filter_map(|moments| {
        let end = moments.last()?.end;
        let stretch = Stretch {
            begin,
            end,
            units: moments.iter().map(|moment| moment.units).sum(),
            p50_ns: moments.iter().map(|moment| moment.p50_ns).max()?,
            p99_ns: moments.iter().map(|moment| moment.p99_ns).max()?,
            max_ns: moments.iter().map(|moment| moment.max_ns).max()?,
        };
        begin = end;
        Some(stretch)
    });
    stretches.collect()
}

/// That a latency stands for several moments, if it does.
fn thinned_note(outcome: &Outcome) -> String {
    match together(&outcome.course) {
        1 => String::new(),
        several => format!(", the worst of {several} pieces of the window at a time"),
    }
}

/// How many moments are plotted as one.
fn together(course: &[Moment]) -> usize {
    course.len().div_ceil(MOMENTS_MAX).max(1)
}

/// A level for each moment, from its beginning to its end.
fn steps(
    moments: &[Stretch],
    place: impl Fn(Duration) -> f64,
    level: impl Fn(&Stretch) -> Option<f64>,
) -> Vec<Option<(f64, f64)>> {
    let steps = moments.iter().flat_map(|moment| {
        let level = level(moment);
        [moment.begin, moment.end].map(|time| Some((place(time), level?)))
    });
    steps.collect()
}

/// The axis of a course, and where on it a time stands. None if there is no course.
fn time_axis(moments: &[Stretch]) -> Option<(Axis, impl Fn(Duration) -> f64)> {
    let length = moments.last()?.end.as_secs_f64();
    let axis = Axis::linear(length, false, |value| format!("{}", (value * 1e6).round() / 1e6));
    Some((axis, move |time: Duration| if length > 0.0 { time.as_secs_f64() / length } else { 1.0 }))
}

fn latency_axis(least_ns: u64, most_ns: u64) -> Axis {
    #[expect(clippy::cast_sign_loss, reason = "values on a logarithmic axis are positive")]
    let label = |nanoseconds: f64| {
        let quantity = quantity::time(nanoseconds.round() as u64);
        let number = quantity.number.trim_end_matches('0').trim_end_matches('.');
        // A whole number has no zeros to lose.
        let number = if quantity.number.contains('.') { number } else { &quantity.number };
        format!("{number} {}", quantity.unit)
    };
    Axis::logarithmic(as_f64(least_ns.max(1)), as_f64(most_ns.max(1)), label)
}

/// A rate at an axis: 500, 1.5 k, 2 M.
fn short(value: f64) -> String {
    let (value, unit) = match value {
        _ if value >= 999_999.5 => (value / 1e6, " M"),
        _ if value >= 999.5 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    format!("{}{unit}", (value * 1000.0).round() / 1000.0)
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::super::super::outcome::Faults;
    use super::super::samples;
    use super::*;

    /// A run of 100 s, in pieces of 0.1 s.
    fn long() -> Outcome {
        let mut outcome = samples::broadcast();
        outcome.course = (1..=1000_u64)
            .map(|number| Moment {
                end: Duration::from_millis(number * 100),
                units: 400_000 + number * 7919 % 60_000,
                p50_ns: 7_000_000 + number * 104_729 % 900_000,
                p99_ns: 18_000_000 + number * 1_299_709 % 9_000_000,
                max_ns: 30_000_000 + number * 15_485_863 % 60_000_000,
            })
            .collect();
        outcome
    }

    #[test]
    fn a_page_is_complete_and_asks_nobody_for_anything() {
        let page = page(&long());
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
        for part in [
            "<title>fanwire bench broadcast ws://127.0.0.1:8080/ws</title>",
            "<li class=\"good\">nothing lost, one order</li>",
            "<dt>latency p99</dt><dd>990 <small>ms</small></dd>",
            "aria-label=\"Throughput over time\"",
            "aria-label=\"Latency over time\"",
            "aria-label=\"Latency by percentile\"",
            "<tr><th>connections</th><td>1000</td></tr>",
            "<td class=\"number\">0.200</td><td class=\"unit\">µs/delivery</td>",
            "prefers-color-scheme: dark",
        ] {
            assert!(page.contains(part), "{part}");
        }
        for request in ["<script", "src=", "href=", "url(", "@import", "http://", "https://"] {
            assert!(!page.contains(request), "{request}");
        }
    }

    #[test]
    fn a_page_of_a_long_run_stays_small() {
        let len = page(&long()).len();
        assert!(len < 60_000, "{len}");
    }

    #[test]
    fn what_the_user_wrote_is_escaped() {
        let mut outcome = samples::broadcast();
        let hostile = "ws://h/\"><script>alert('1')</script>&\u{1b}";
        outcome.settings = vec![("url", hostile.to_owned()), ("header", hostile.to_owned())];
        let page = page(&outcome);
        assert!(!page.contains("<script>") && !page.contains('\u{1b}'));
        let shown = "ws://h/&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;\u{fffd}";
        assert_eq!(page.matches(shown).count(), 4, "title, head and settings");
    }

    #[test]
    fn a_course_without_moments_is_not_plotted() {
        let mut outcome = samples::broadcast();
        outcome.course.clear();
        let page = page(&outcome);
        assert!(!page.contains("over time\""));
        assert!(page.contains("aria-label=\"Latency by percentile\""));
    }

    #[test]
    fn idle_connections_have_nothing_to_plot() {
        let mut outcome = samples::idle();
        outcome.course = samples::broadcast().course;
        for moment in &mut outcome.course {
            (moment.p50_ns, moment.p99_ns, moment.max_ns) = (0, 0, 0);
        }
        let page = page(&outcome);
        assert!(!page.contains("<svg"));
        assert!(page.contains("<li class=\"bad\">1 connection was lost or refused</li>"));
    }

    #[test]
    fn a_course_of_a_single_moment_is_a_level() {
        let mut outcome = samples::broadcast();
        outcome.course.truncate(1);
        let page = page(&outcome);
        assert!(page.contains("<path class=\"units line\" d=\"M0 125L1000 125\"/>"), "3.5 M of 4 M");
        assert!(page.contains("<path class=\"max line\" d=\"M0 0L1000 0\"/>"), "1 s");
    }

    #[test]
    fn a_moment_in_which_nothing_arrived_is_a_gap() {
        let mut outcome = samples::broadcast();
        outcome.course.insert(
            1,
            Moment { end: Duration::from_millis(1500), units: 0, p50_ns: 0, p99_ns: 0, max_ns: 0 },
        );
        let page = page(&outcome);
        assert!(page.contains("1.5 s: 0 deliveries/s"));
        assert!(page.contains("1.5 s: nothing arrived"));
        assert!(page.contains("<path class=\"max line\" d=\"M0 0L500 0M750 22L1000 22\"/>"), "{page}");
    }

    #[test]
    fn moments_of_no_length_and_extreme_figures_are_plotted_without_nonsense() {
        let mut outcome = samples::broadcast();
        let moment =
            |end, units, latency| Moment { end, units, p50_ns: latency, p99_ns: latency, max_ns: latency };
        for course in [
            vec![moment(Duration::ZERO, 0, 0)],
            vec![moment(Duration::ZERO, u64::MAX, u64::MAX)],
            vec![moment(Duration::from_secs(1), 1, 1), moment(Duration::from_secs(1), 1, u64::MAX)],
        ] {
            outcome.course = course;
            let page = page(&outcome);
            assert!(!page.contains("NaN") && !page.contains("inf"), "{:?}", outcome.course);
        }
    }

    #[test]
    fn moments_are_put_together_so_that_nothing_bad_is_hidden() {
        let outcome = long();
        let stretches = thinned(&outcome.course);
        assert!(stretches.len() <= MOMENTS_MAX);
        assert!(page(&outcome).contains("the worst of 9 pieces of the window at a time"));
        assert!(!page(&samples::broadcast()).contains("the worst of"));
        assert_eq!(stretches[0].begin, Duration::ZERO);
        assert!(stretches.windows(2).all(|pair| pair[0].end == pair[1].begin));
        let of = |values: Vec<u64>| (values.iter().sum::<u64>(), values.into_iter().max());
        let shown = |what: fn(&Stretch) -> u64| of(stretches.iter().map(what).collect());
        let found = |what: fn(&Moment) -> u64| of(outcome.course.iter().map(what).collect());
        assert_eq!(shown(|stretch| stretch.units).0, found(|moment| moment.units).0);
        assert_eq!(shown(|stretch| stretch.p99_ns).1, found(|moment| moment.p99_ns).1);
        assert_eq!(shown(|stretch| stretch.max_ns).1, found(|moment| moment.max_ns).1);
    }

    #[test]
    fn a_fault_stands_where_the_verdict_does() {
        let mut outcome = samples::broadcast();
        outcome.faults = Faults { missing: 2, ..Faults::default() };
        outcome.generator.cpu = outcome.window;
        let page = page(&outcome);
        assert!(page.contains("<li class=\"bad\">2 messages did not reach somebody who was there</li>\n<li class=\"warning\">the generator was"));
        assert!(!page.contains("class=\"good\""));
    }
}
