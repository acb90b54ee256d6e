//! [`Plot`]: lines over two logarithmic axes, side by side, as one SVG file.
//!
//! It stands in a page as an image: it has its own colours, which can be read on a light ground and on a dark one. A line
//! that rises as steeply as the grid's diagonal is one that grows as what is below it grows.

use std::fmt::Write;

/// What is shown side by side.
#[derive(Debug)]
pub(crate) struct Plot {
    /// What grows from left to right, in all panels.
    pub(crate) x: &'static str,
    pub(crate) panels: Vec<Panel>,
    /// What each colour means.
    pub(crate) legend: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    pub(crate) lines: Vec<Line>,
}

#[derive(Debug)]
pub(crate) struct Line {
    /// Index into the legend.
    pub(crate) color: usize,
    pub(crate) is_dashed: bool,
    pub(crate) points: Vec<(f64, f64)>,
}

/// As many as a study has series.
const COLORS: [&str; 4] = ["#3b82f6", "#f97316", "#10b981", "#c084fc"];

/// Measures of a panel, in pixels: with room for labels at the left and below, and for the title above.
const WIDTH: f64 = 250.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 50.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 40.0;
const LEGEND_LINE: f64 = 18.0;

/// From a power of ten to another.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    begin: i32,
    end: i32,
}

impl Axis {
    /// The axis that holds all of the values; those that are not positive stand nowhere.
    fn over(values: impl Iterator<Item = f64> + Clone) -> Self {
        let logarithms = values.filter(|value| *value > 0.0).map(f64::log10);
        let least = logarithms.clone().fold(f64::MAX, f64::min);
        let most = logarithms.fold(f64::MIN, f64::max);
        if least > most {
            return Self { begin: 0, end: 1 };
        }
        let begin = least.floor() as i32;
        Self { begin, end: (most.ceil() as i32).max(begin + 1) }
    }

    /// 0 at the beginning, 1 at the end.
    fn place(self, value: f64) -> f64 {
        (value.log10() - f64::from(self.begin)) / f64::from(self.end - self.begin)
    }

    /// The powers of ten.
    fn ticks(self) -> impl Iterator<Item = (f64, String)> {
        (self.begin..=self.end).map(move |exponent| {
            let value = 10_f64.powi(exponent);
            (self.place(value), label(value))
        })
    }
}

fn label(value: f64) -> String {
    match value {
        _ if value >= 1e6 => format!("{} M", value / 1e6),
        _ if value >= 1e3 => format!("{} k", value / 1e3),
        // Powers of ten come with an error in the last place.
        _ => format!("{}", (value * 1e6).round() / 1e6),
    }
}

impl Plot {
    /// The file.
    pub(crate) fn svg(&self) -> String {
        let mut svg = String::new();
        self.write(&mut svg).expect("a String takes all");
        svg
    }

    #[expect(clippy::cast_precision_loss, reason = "few panels and few lines")]
    fn write(&self, svg: &mut String) -> std::fmt::Result {
        let step = LEFT + WIDTH + 20.0;
        let legend = TOP + HEIGHT + BOTTOM + LEGEND_LINE;
        let (width, height) =
            (step * self.panels.len() as f64, legend + LEGEND_LINE * self.legend.len() as f64);
        writeln!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\">"
        )?;
        svg.push_str(
            "<style>text{font:12px sans-serif;fill:#808890}.y{text-anchor:end}.x{text-anchor:middle}\
             .grid{stroke:#808890;stroke-opacity:.3}path{fill:none;stroke-width:2}.dashed{stroke-dasharray:4 3}</style>\n",
        );
        for (index, panel) in self.panels.iter().enumerate() {
            writeln!(svg, "<g transform=\"translate({} {TOP})\">", step * index as f64 + LEFT)?;
            panel.write(self.x, svg)?;
            svg.push_str("</g>\n");
        }
        for (index, text) in self.legend.iter().enumerate() {
            let y = legend + LEGEND_LINE * index as f64;
            let color = COLORS[index % COLORS.len()];
            writeln!(svg, "<path d=\"M{LEFT} {y}h24\" stroke=\"{color}\"/>")?;
            writeln!(svg, "<text x=\"{}\" y=\"{}\">{text}</text>", LEFT + 32.0, y + 4.0)?;
        }
        svg.push_str("</svg>\n");
        Ok(())
    }
}

impl Panel {
    fn write(&self, x: &str, svg: &mut String) -> std::fmt::Result {
        let points = || self.lines.iter().flat_map(|line| line.points.iter().copied());
        let across = Axis::over(points().map(|(x, _)| x));
        let up = Axis::over(points().map(|(_, y)| y));
        writeln!(svg, "<text y=\"-12\">{}</text>", self.title)?;
        for (place, label) in across.ticks() {
            let at = place * WIDTH;
            writeln!(svg, "<path class=\"grid\" d=\"M{at:.1} 0V{HEIGHT}\"/>")?;
            writeln!(svg, "<text class=\"x\" x=\"{at:.1}\" y=\"{}\">{label}</text>", HEIGHT + 16.0)?;
        }
        writeln!(svg, "<text class=\"x\" x=\"{}\" y=\"{}\">{x}</text>", WIDTH / 2.0, HEIGHT + 33.0)?;
        for (place, label) in up.ticks() {
            let at = (1.0 - place) * HEIGHT;
            writeln!(svg, "<path class=\"grid\" d=\"M0 {at:.1}H{WIDTH}\"/>")?;
            writeln!(svg, "<text class=\"y\" x=\"-6\" y=\"{:.1}\">{label}</text>", at + 4.0)?;
        }
        for line in &self.lines {
            let points = line.points.iter().filter(|(x, y)| *x > 0.0 && *y > 0.0);
            let places = points.map(|(x, y)| (across.place(*x) * WIDTH, (1.0 - up.place(*y)) * HEIGHT));
            let places: Vec<_> = places.collect();
            let color = COLORS[line.color % COLORS.len()];
            let class = if line.is_dashed { " class=\"dashed\"" } else { "" };
            let path: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
            if !path.is_empty() {
                writeln!(svg, "<path{class} d=\"M{}\" stroke=\"{color}\"/>", path.join("L"))?;
            }
            for (x, y) in places {
                writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{color}\"/>")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(values: &[f64]) -> Axis {
        Axis::over(values.iter().copied())
    }

    #[test]
    fn an_axis_spans_whole_powers_of_ten() {
        let axis = over(&[10.0, 19_000.0, 0.0]);
        assert_eq!(axis, Axis { begin: 1, end: 5 });
        assert_eq!((axis.place(10.0), axis.place(1000.0)), (0.0, 0.5));
        let labels: Vec<_> = axis.ticks().map(|(_, label)| label).collect();
        assert_eq!(labels, ["10", "100", "1 k", "10 k", "100 k"]);
        let labels: Vec<_> = over(&[0.02, 0.3]).ticks().map(|(_, label)| label).collect();
        assert_eq!(labels, ["0.01", "0.1", "1"]);
    }

    #[test]
    fn an_axis_of_one_value_or_none_still_has_two_ends() {
        assert_eq!(over(&[100.0]), Axis { begin: 2, end: 3 });
        assert_eq!(over(&[0.0]), Axis { begin: 0, end: 1 });
    }

    #[test]
    fn a_plot_shows_its_points_from_the_lower_left() {
        let line = Line { color: 1, is_dashed: true, points: vec![(1.0, 1.0), (10.0, 10.0), (5.0, 0.0)] };
        let panels = vec![Panel { title: "a title", lines: vec![line] }];
        let svg = Plot { x: "many", panels, legend: vec!["one".to_owned(), "other".to_owned()] }.svg();
        assert!(
            svg.contains("<path class=\"dashed\" d=\"M0.0 190.0L250.0 0.0\" stroke=\"#f97316\"/>"),
            "{svg}"
        );
        assert!(svg.contains(">a title<") && svg.contains(">many<") && svg.contains(">other<"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2, "nothing stands nowhere");
    }
}
