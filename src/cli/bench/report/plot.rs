//! [`Plot`]: lines over two axes, as SVG that stands inside a page.
//!
//! The picture stretches to the width it is given and the text does not: places are percentages of the SVG element, and
//! only the lines are in a coordinate system of their own, 1,000 by 1,000. So it is readable on a phone as on a desktop.
//! Labels hang out of the element: the page leaves room for them, and gives the classes their colours.

use std::fmt::Write;

/// Where something stands on an axis: 0 at its beginning, 1 at its end.
pub(super) type Place = f64;

/// An axis.
#[derive(Debug)]
pub(super) struct Axis {
    scale: Scale,
    ticks: Vec<Tick>,
}

#[derive(Clone, Copy, Debug)]
enum Scale {
    /// From 0 to this.
    Linear(f64),
    /// From one to the other, in logarithms to the base of 10.
    Logarithmic(f64, f64),
}

#[derive(Debug)]
pub(super) struct Tick {
    pub(super) place: Place,
    /// May be empty.
    pub(super) label: String,
}

/// Ticks of a linear axis at most, that at 0 left out.
const TICKS_MAX: f64 = 5.0;

/// A value so little beside a power of ten, as a logarithm, is drawn at it: 2 % are no reason for ten times the axis.
const BESIDE: f64 = 0.01;

impl Axis {
    /// From 0 to `last`, or to the first tick at or behind it. Labels are what `label` makes of the values.
    pub(super) fn linear(last: f64, ends_at_a_tick: bool, label: impl Fn(f64) -> String) -> Axis {
        let last = if last > 0.0 && last.is_finite() { last } else { 1.0 };
        let step = round_step(last / TICKS_MAX);
        let end = if ends_at_a_tick { (last / step - 1e-9).ceil() * step } else { last };
        let scale = Scale::Linear(end);
        let values =
            (0..).map(|number| f64::from(number) * step).take_while(|value| *value <= end * (1.0 + 1e-9));
        let ticks = values.map(|value| Tick { place: scale.place(value), label: label(value) }).collect();
        Axis { scale, ticks }
    }

    /// From the power of ten at or below `least` to the one at or above `most`. Values that are not positive stand
    /// nowhere.
    pub(super) fn logarithmic(least: f64, most: f64, label: impl Fn(f64) -> String) -> Axis {
        let least = if least > 0.0 && least.is_finite() { least } else { 1.0 };
        let begin = (least.log10() + BESIDE).floor();
        let end = (most.max(least).log10() - BESIDE).ceil().max(begin + 1.0);
        let scale = Scale::Logarithmic(begin, end);
        // Few powers of ten leave room for more labels.
        let labelled: &[u32] = if end - begin <= 2.5 { &[1, 2, 5] } else { &[1] };
        let mut ticks = Vec::new();
        let mut exponent = begin;
        while exponent <= end {
            for factor in [1, 2, 5] {
                let value = 10_f64.powf(exponent) * f64::from(factor);
                let place = scale.place(value);
                if place <= 1.0 + 1e-9 {
                    let label = if labelled.contains(&factor) { label(value) } else { String::new() };
                    ticks.push(Tick { place, label });
                }
            }
            exponent += 1.0;
        }
        Axis { scale, ticks }
    }

    /// From 0 to 1, with these ticks.
    pub(super) fn with(ticks: Vec<Tick>) -> Axis {
        Axis { scale: Scale::Linear(1.0), ticks }
    }

    /// Where a value stands.
    pub(super) fn place(&self, value: f64) -> Option<Place> {
        let place = self.scale.place(value);
        place.is_finite().then(|| place.clamp(0.0, 1.0))
    }
}

impl Scale {
    fn place(self, value: f64) -> Place {
        match self {
            Scale::Linear(end) => value / end,
            Scale::Logarithmic(begin, end) => (value.log10() - begin) / (end - begin),
        }
    }
}

/// The least 1, 2, 2.5 or 5 times a power of ten that is no smaller.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0].into_iter().find(|factor| factor * power >= step * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

/// A line from point to point. None is a gap.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) class: &'static str,
    pub(super) points: Vec<Option<(Place, Place)>>,
    /// Whether what is below it has its colour too.
    pub(super) is_filled: bool,
}

/// A point with a label.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) x: Place,
    pub(super) y: Place,
    pub(super) label: String,
}

/// What a mouse over a part of the x axis is told.
#[derive(Debug)]
pub(super) struct Hint {
    pub(super) begin: Place,
    pub(super) end: Place,
    pub(super) text: String,
}

/// A plot.
#[derive(Debug)]
pub(super) struct Plot {
    /// What it shows, for those who do not see it.
    pub(super) title: &'static str,
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// Those further down are drawn above the others.
    pub(super) lines: Vec<Line>,
    pub(super) marks: Vec<Mark>,
    pub(super) hints: Vec<Hint>,
}

impl Plot {
    /// The plot as an `svg` element. Its texts must be free of markup.
    pub(super) fn svg(&self) -> String {
        let mut svg = format!("<svg class=\"plot\" role=\"img\" aria-label=\"{}\">", self.title);
        self.write(&mut svg).unwrap_or_default();
        svg.push_str("</svg>\n");
        svg
    }

    fn write(&self, svg: &mut String) -> std::fmt::Result {
        for Tick { place, label } in &self.y.ticks {
            let y = percent(1.0 - place);
            let class = if label.is_empty() { "grid minor" } else { "grid" };
            write!(svg, "<line class=\"{class}\" x2=\"100%\" y1=\"{y}\" y2=\"{y}\"/>")?;
            if !label.is_empty() {
                write!(svg, "<text class=\"y\" x=\"-8\" y=\"{y}\">{label}</text>")?;
            }
        }
        for Tick { place, label } in &self.x.ticks {
            let x = percent(*place);
            write!(svg, "<text class=\"x\" x=\"{x}\" y=\"100%\">{label}</text>")?;
        }
        svg.push_str("\n<svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\">");
        for line in &self.lines {
            if line.is_filled {
                write!(svg, "<path class=\"{} fill\" d=\"{}\"/>", line.class, area(&line.points))?;
            }
            write!(svg, "<path class=\"{} line\" d=\"{}\"/>", line.class, path(&line.points))?;
        }
        svg.push_str("</svg>\n");
        for Hint { begin, end, text } in &self.hints {
            let (x, width) = (percent(*begin), percent(end - begin));
            write!(
                svg,
                "<rect class=\"hint\" x=\"{x}\" width=\"{width}\" height=\"100%\"><title>{text}</title></rect>"
            )?;
        }
        for Mark { x, y, label } in &self.marks {
            // At the right end there is room to the left alone.
            let class = if *x > 0.85 { "mark left" } else { "mark" };
            let (x, y) = (percent(*x), percent(1.0 - y));
            write!(svg, "<circle class=\"mark\" cx=\"{x}\" cy=\"{y}\" r=\"4\"/>")?;
            write!(svg, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{label}</text>")?;
        }
        Ok(())
    }
}

fn percent(place: Place) -> String {
    let percent = format!("{:.2}", place * 100.0);
    format!("{}%", percent.trim_end_matches('0').trim_end_matches('.'))
}

/// In the coordinates of lines.
fn point((x, y): (Place, Place)) -> String {
    format!("{:.0} {:.0}", x * 1000.0, (1.0 - y) * 1000.0)
}

fn path(points: &[Option<(Place, Place)>]) -> String {
    let mut path = String::new();
    for stretch in stretches(points) {
        path.push('M');
        path.push_str(&stretch.iter().copied().map(point).collect::<Vec<_>>().join("L"));
        // Of a lone point the round end is seen.
        if stretch.len() == 1 {
            path.push_str("h0");
        }
    }
    path
}

fn area(points: &[Option<(Place, Place)>]) -> String {
    let mut area = String::new();
    for stretch in stretches(points) {
        if let (Some(first), Some(last)) = (stretch.first(), stretch.last()) {
            let ground = [(first.0, 0.0), (last.0, 0.0)];
            let corners = [&ground[..1], &stretch, &ground[1..]].concat();
            area.push('M');
            area.push_str(&corners.into_iter().map(point).collect::<Vec<_>>().join("L"));
            area.push('Z');
        }
    }
    area
}

/// The points between the gaps.
fn stretches(points: &[Option<(Place, Place)>]) -> Vec<Vec<(Place, Place)>> {
    let stretches = points.split(Option::is_none).map(|stretch| stretch.iter().flatten().copied().collect());
    stretches.filter(|stretch: &Vec<_>| !stretch.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(axis: &Axis) -> Vec<(String, String)> {
        axis.ticks.iter().map(|tick| (percent(tick.place), tick.label.clone())).collect()
    }

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.label.as_str()).filter(|label| !label.is_empty()).collect()
    }

    #[test]
    fn a_linear_axis_has_round_ticks_and_ends_at_one_or_where_it_is_told() {
        let label = |value: f64| value.to_string();
        assert_eq!(labels(&Axis::linear(4.3, true, label)), ["0", "1", "2", "3", "4", "5"]);
        assert_eq!(labels(&Axis::linear(5.0, true, label)), ["0", "1", "2", "3", "4", "5"]);
        assert_eq!(labels(&Axis::linear(900.0, true, label)), ["0", "200", "400", "600", "800", "1000"]);
        let ticks = said(&Axis::linear(8.0, false, label));
        assert_eq!(ticks.last(), Some(&("100%".to_owned(), "8".to_owned())));
        let axis = Axis::linear(4.5, false, label);
        assert_eq!(labels(&axis), ["0", "1", "2", "3", "4"]);
        assert_eq!(axis.place(4.5), Some(1.0));
    }

    #[test]
    fn an_axis_of_nothing_still_has_two_ends() {
        let label = |value: f64| value.to_string();
        assert!(Axis::linear(0.0, true, label).ticks.len() >= 2);
        assert!(Axis::linear(f64::NAN, true, label).ticks.len() >= 2);
        assert_eq!(labels(&Axis::logarithmic(0.0, 0.0, label)), ["1", "2", "5", "10"]);
    }

    #[test]
    fn a_logarithmic_axis_spans_whole_powers_of_ten() {
        let label = |value: f64| value.to_string();
        let axis = Axis::logarithmic(3.0, 2500.0, label);
        assert_eq!(labels(&axis), ["1", "10", "100", "1000", "10000"]);
        assert_eq!(axis.ticks.len(), 13, "with ticks at 2 and 5 times each but the last");
        assert_eq!(
            (axis.place(1.0), axis.place(100.0), axis.place(10_000.0)),
            (Some(0.0), Some(0.5), Some(1.0))
        );
        assert_eq!(axis.place(0.0).map(percent), None, "0 stands nowhere");
        assert_eq!(labels(&Axis::logarithmic(10.0, 100.0, label)), ["10", "20", "50", "100"]);
    }

    #[test]
    fn lines_have_gaps_and_lone_points_are_seen() {
        let points = [Some((0.0, 0.0)), Some((0.25, 1.0)), None, Some((0.5, 0.5)), None, None];
        assert_eq!(path(&points), "M0 1000L250 0M500 500h0");
        assert_eq!(area(&points), "M0 1000L0 1000L250 0L250 1000ZM500 1000L500 500L500 1000Z");
        assert_eq!((path(&[None]), area(&[])), (String::new(), String::new()));
    }

    #[test]
    fn a_plot_is_an_svg_element() {
        let plot = Plot {
            title: "a title",
            x: Axis::linear(1.0, true, |value| if value == 0.0 { "none".to_owned() } else { String::new() }),
            y: Axis::logarithmic(1.0, 10.0, |value| format!("{value} s")),
            lines: vec![Line { class: "p50", points: vec![Some((0.5, 0.5))], is_filled: true }],
            marks: vec![Mark { x: 0.5, y: 0.25, label: "here".to_owned() }],
            hints: vec![Hint { begin: 0.5, end: 0.75, text: "hint".to_owned() }],
        };
        let svg = plot.svg();
        for part in [
            "<svg class=\"plot\" role=\"img\" aria-label=\"a title\">",
            "<text class=\"x\" x=\"0%\" y=\"100%\">none</text>",
            "<text class=\"y\" x=\"-8\" y=\"0%\">10 s</text>",
            "<path class=\"p50 fill\" d=\"M500 1000L500 500L500 1000Z\"/><path class=\"p50 line\" d=\"M500 500h0\"/>",
            "<circle class=\"mark\" cx=\"50%\" cy=\"75%\" r=\"4\"/><text class=\"mark\" x=\"50%\" y=\"75%\">here</text>",
            "<rect class=\"hint\" x=\"50%\" width=\"25%\" height=\"100%\"><title>hint</title></rect>",
        ] {
            assert!(svg.contains(part), "{part} in {svg}");
        }
        assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count());
    }
}
