//! The rows of `report --format csv` to the letter.

use crate::samples;
use isol_trace::{
    consume::{Consumer as _, csv::CsvLines},
    event::model::{Breach, Event},
};

/// The rows of these breaches in a log, below the names of the columns.
fn written(breaches: impl IntoIterator<Item = Breach>) -> String {
    let mut text = Vec::new();
    let mut csv = CsvLines::new(&mut text);
    csv.event(&Event::Header(samples::header()));
    for breach in breaches {
        csv.event(&Event::Breach(Box::new(breach)));
    }
    for other in [samples::back(), samples::lost(), samples::moved()] {
        csv.event(&other);
    }
    drop(csv);
    String::from_utf8(text).expect("CSV is UTF-8")
}

#[test]
fn every_kind_of_breach() {
    let others = [samples::bare_breach(), samples::busy_breach()];
    insta::assert_snapshot!(written(samples::causes().into_iter().chain(others)));
}

#[test]
fn names_that_mean_harm() {
    let named = |comm: &str, location: &str| {
        let mut breach = Breach {
            location: Some(location.into()),
            ..samples::breach()
        };
        breach.task.comm = Some(comm.into());
        breach
    };
    let rows = written([
        named("=HYPERLINK(\"h\"", "@SUM(1,2)+0x1"),
        named("a,\"b\"", "-1+1"),
        named("a\nb,c", "\t+1"),
        named("'=1", "\u{1b}[2J\u{202e}x"),
    ]);
    let rows: Vec<_> = rows.lines().skip(1).collect();
    assert_eq!(rows.len(), 4);
    for (row, [comm, location]) in rows.iter().zip([
        [r#","'=HYPERLINK(""h""","#, r#","'@SUM(1,2)+0x1","#],
        [r#","a,""b""","#, ",'-1+1,"],
        [r#","a\nb,c","#, r",\t+1,"],
        [",''=1,", r",\u{1b}[2J\u{202e}x,"],
    ]) {
        assert!(row.contains(comm), "{row}");
        assert!(row.contains(location), "{row}");
    }
}
