//! What a screen of any size has to show: the figures that came, in their order. A snapshot that was
//! accepted with other ones would fail here.

use super::*;

/// A screen, cell by cell.
fn rows(screen: &TestBackend) -> Vec<Vec<char>> {
    let width = usize::from(screen.buffer().area.width);
    let signs = screen.buffer().content().iter().map(Cell::symbol);
    let signs: Vec<char> = signs.map(|it| it.chars().next().unwrap_or(' ')).collect();
    signs.chunks(width).map(<[char]>::to_vec).collect()
}

/// The words of a table that end below the end of this heading; none where there is no such heading.
fn column(screen: &TestBackend, heading: &str) -> Vec<String> {
    let rows = rows(screen);
    let heading: Vec<char> = heading.chars().collect();
    let ends = |row: &Vec<char>| {
        let mut windows = row.windows(heading.len());
        windows
            .position(|it| it == heading)
            .map(|at| at + heading.len())
    };
    let Some((at, end)) = rows
        .iter()
        .enumerate()
        .find_map(|(at, row)| Some((at, ends(row)?)))
    else {
        return Vec::new();
    };
    let last = rows.len() - 1;
    rows[at + 1..last]
        .iter()
        .take_while(|row| !matches!(row[0], '─' | '━'))
        .map(|row| {
            let text: String = row[..end].iter().collect();
            text.rsplit(' ').next().unwrap_or_default().to_owned()
        })
        .filter(|word| !word.is_empty())
        .collect()
}

/// The same as numbers.
fn numbers<T: std::str::FromStr<Err: std::fmt::Debug>>(
    screen: &TestBackend,
    heading: &str,
) -> Vec<T> {
    let words = column(screen, heading);
    words
        .iter()
        .map(|it| it.parse().expect("a number"))
        .collect()
}

const SIZES: [(u16, u16); 3] = [(60, 15), (80, 24), (120, 40)];

#[test]
fn the_figures_are_those_that_came() {
    let (mut app, story) = busy(3);
    let cpus = story.totals().cpus;
    let entries: Vec<u64> = cpus.iter().map(|cpu| cpu.entries).collect();
    let mut causes = std::collections::BTreeMap::<_, u64>::new();
    for cause in cpus.iter().flat_map(|cpu| &cpu.causes) {
        *causes.entry(cause.cause.word()).or_default() += cause.count;
    }
    let mut counts: Vec<u64> = causes.into_values().collect();
    counts.sort_by(|one, next| next.cmp(one));
    for (width, height) in SIZES {
        let screen = show(&mut app, width, height);
        assert_eq!(numbers::<u64>(&screen, "TOTAL"), entries, "{screen}");
        assert_shows(
            &screen,
            &[&format!("{} kernel entries", entries.iter().sum::<u64>())],
        );
        if height >= 24 {
            assert_eq!(numbers::<u64>(&screen, "COUNT↓"), counts, "{screen}");
        }
    }
}

#[test]
fn the_newest_breach_is_first() {
    let (mut app, _) = busy(3);
    let newest = breach(241, 2, after_ms(12_345), 0);
    app.apply(Update::Event(Event::Breach(Box::new(newest))));
    app.tick(after_ms(12_400));
    for (width, height) in SIZES {
        let screen = show(&mut app, width, height);
        let times: Vec<f64> = numbers(&screen, "TIME↓");
        assert_eq!(column(&screen, "TIME↓")[0], "12.345000", "{screen}");
        assert!(times.is_sorted_by(|one, next| one > next), "{screen}");
        assert_shows(&screen, &[&format!(" 1-{} of 241 ", times.len())]);
    }
}
