//! Draws folded stacks: a box for each frame, as wide as its share of the samples, upon the frame that called it.
//! Hovering shows the whole name and the share. No script is in it.

use std::collections::BTreeMap;

use super::fold::Stacks;
use crate::bench::page::escaped;

const WIDTH: f64 = 1_400.0;
const LINE: f64 = 17.0;
const TOP: f64 = 34.0;
/// Narrower boxes say nothing.
const SHARE_MIN: f64 = 0.0008;
const CHARACTER: f64 = 6.6;

const STYLE: &str = "svg{background:#fdfdfc;font:11px ui-monospace,monospace}.t{fill:#1b1b1f}.b{stroke:#fdfdfc;\
    stroke-width:.6}text{fill:#1b1b1f;pointer-events:none}@media(prefers-color-scheme:dark){svg{background:#17171a}\
    .t{fill:#e8e8ea}.b{stroke:#17171a}}";

#[derive(Default)]
struct Frame {
    samples: u64,
    called: BTreeMap<String, Frame>,
}

pub fn svg(stacks: &Stacks, title: &str) -> String {
    let mut root = Frame::default();
    for (stack, samples) in stacks {
        root.samples += samples;
        let mut at = &mut root;
        for frame in stack {
            at = at.called.entry(frame.clone()).or_default();
            at.samples += samples;
        }
    }
    let all = root.samples;
    let height = TOP + LINE * (depth(&root, all) as f64);
    let mut boxes = String::new();
    boxes_of(&root, all, (0.0, 0), height, &mut boxes);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\"><style>{STYLE}</style>\
         <text class=\"t\" x=\"4\" y=\"18\">{} ({all} samples)</text>\n{boxes}</svg>\n",
        escaped(title)
    )
}

fn depth(frame: &Frame, all: u64) -> usize {
    let seen = frame.called.values().filter(|called| share(called, all) >= SHARE_MIN);
    seen.map(|called| 1 + depth(called, all)).max().unwrap_or(0)
}

fn share(frame: &Frame, all: u64) -> f64 {
    frame.samples as f64 / all.max(1) as f64
}

/// The boxes of what a frame called, side by side from `left` on, and all that stands upon them.
fn boxes_of(frame: &Frame, all: u64, (left, level): (f64, usize), height: f64, out: &mut String) {
    let mut left = left;
    for (name, called) in &frame.called {
        let share = share(called, all);
        if share >= SHARE_MIN {
            let (width, y) = (share * WIDTH, height - LINE * (level as f64 + 1.0));
            let fits = (width / CHARACTER) as usize;
            let shown: String = if fits >= 4 { name.chars().take(fits).collect() } else { String::new() };
            out.push_str(&format!(
                "<g><title>{name} {percent:.2} %</title><rect class=\"b\" x=\"{left:.1}\" y=\"{y:.1}\" \
                 width=\"{width:.1}\" height=\"{LINE}\" fill=\"{colour}\"/><text x=\"{text:.1}\" y=\"{base:.1}\">{shown}\
                 </text></g>\n",
                name = escaped(name),
                percent = share * 100.0,
                colour = colour(name),
                text = left + 2.0,
                base = y + 12.5,
                shown = escaped(&shown)
            ));
            boxes_of(called, all, (left, level + 1), height, out);
        }
        left += share * WIDTH;
    }
}

/// Ours are warm, hyper and tokio blue, everything else grey; neighbours differ a little.
fn colour(name: &str) -> String {
    let shade = name.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))) % 12;
    let (hue, saturation) = match name {
        name if ["florin", "wal::", "snapshots"].iter().any(|ours| name.contains(ours)) => (28, 85),
        name if ["hyper", "tokio", "h2::", "http::"].iter().any(|theirs| name.contains(theirs)) => (210, 60),
        _ => (50, 8),
    };
    format!("hsl({hue},{saturation}%,{}%)", 62 + shade)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_as_wide_as_its_share() {
        let stack = |frames: &[&str]| frames.iter().map(|frame| (*frame).to_owned()).collect::<Vec<_>>();
        let stacks = Stacks::from([(stack(&["main", "a<b>"]), 3), (stack(&["main", "c"]), 1)]);
        let drawn = svg(&stacks, "a test");
        assert!(drawn.contains("<title>a&lt;b&gt; 75.00 %</title>"), "{drawn}");
        assert!(drawn.contains("width=\"1050.0\"") && drawn.contains("4 samples"));
        assert_eq!(drawn.matches("<rect").count(), 3);
    }
}
