//! The table as a whole, and what a table may not say.

mod build;
mod cases;
mod document;
mod order;
mod reach;
mod recorded;
mod syscalls;

use super::*;
use crate::{event::model::Header, wire::tests::any::plain_header};

fn embedded() -> &'static Rules {
    Rules::embedded().expect("the table is valid")
}

fn found(breach: &Breach) -> Option<&'static str> {
    embedded().find(breach).map(|rule| rule.id.as_str())
}

/// A table of one rule.
fn table(rest: &str) -> String {
    format!(
        "[[rule]]\nid = \"a\"\nwhy = \"w\"\nremedy = \"r\"\nends = \"application\"\nverify = \"v\"\nkernels = \"all\"\n{rest}"
    )
}

fn refused(rest: &str) -> TableError {
    Rules::parse(&table(rest)).expect_err(rest)
}

#[test]
fn the_table_is_valid_and_rules_are_found_by_their_names() {
    let rules = embedded();
    assert!(rules.all().len() >= 30);
    for rule in rules.all() {
        assert_eq!(rules.get(&rule.id), Some(rule));
    }
    assert_eq!(
        rules.get(&RuleId::new("no-such-rule").expect("a name")),
        None
    );
}

#[test]
fn every_text_is_one_line_that_ends_as_a_sentence() {
    let numbers = Numbers::example();
    for rule in embedded().all() {
        let texts = [&rule.why, &rule.remedy, &rule.verify].map(|text| text.text(&numbers));
        for text in &texts {
            assert!(text.ends_with('.'), "{}: {text}", rule.id);
        }
        for text in texts.iter().chain([&rule.kernels]) {
            assert!(!text.contains(['\n', '\t']), "{}: {text}", rule.id);
        }
    }
}

#[test]
fn a_word_that_its_list_does_not_have_is_an_error() {
    for (condition, field, word) in [
        ("cause = [\"sysenter\"]", "cause", "sysenter"),
        ("cause = [\"nmi\"]\nend = [\"late\"]", "end", "late"),
        ("cause = [\"nmi\"]\nname = [\"a*b\"]", "name", "a*b"),
        (
            "cause = [\"nmi\"]\nactivity = { kind = [\"nap\"] }",
            "activity",
            "nap",
        ),
        (
            "cause = [\"nmi\"]\norigin = { kind = [\"moon\"] }",
            "origin",
            "moon",
        ),
        (
            "cause = [\"nmi\"]\norigin = { via = [\"post\"] }",
            "via",
            "post",
        ),
        (
            "cause = [\"page_fault\"]\nfault = { access = [\"smell\"] }",
            "access",
            "smell",
        ),
        (
            "cause = [\"page_fault\"]\nfault = { address = [2, 1] }",
            "address",
            "2..=1",
        ),
    ] {
        let error = TableError::Word {
            rule: RuleId::new("a").expect("a name"),
            field,
            word: word.to_owned(),
        };
        assert_eq!(refused(&format!("[[rule.when]]\n{condition}")), error);
    }
}

#[test]
fn a_field_that_rules_do_not_have_is_an_error() {
    for rest in [
        "colour = \"red\"",
        "[[rule.when]]\ncause = [\"nmi\"]\nmoon = \"full\"",
        "[[rule.when]]\ncause = [\"nmi\"]\nactivity = { kind = [\"work\"], function = [\"f\"] }",
        "[[rule.when]]\ncause = [\"nmi\"]\norigin = { comm = [\"f\"] }",
    ] {
        assert!(matches!(refused(rest), TableError::Toml(_)), "{rest}");
    }
}

#[test]
fn a_condition_that_looks_at_everything_is_an_error() {
    let open = |field| TableError::Open {
        rule: RuleId::new("a").expect("a name"),
        field,
    };
    assert_eq!(refused("[[rule.when]]\nname = [\"read\"]"), open("cause"));
    let any = "[[rule.when]]\ncause = [\"nmi\"]\nactivity = { name = [\"f\"] }";
    assert_eq!(refused(any), open("activity"));
}

#[test]
fn a_rule_has_conditions_or_says_that_it_needs_none() {
    let id = RuleId::new("a").expect("a name");
    assert_eq!(refused(""), TableError::Conditions(id.clone()));
    let both = "host_only = true\n[[rule.when]]\ncause = [\"nmi\"]";
    assert_eq!(refused(both), TableError::Conditions(id));
    assert!(Rules::parse(&table("host_only = true")).is_ok());
}

#[test]
fn names_are_unique_and_texts_say_something() {
    let one = table("host_only = true\n");
    let id = RuleId::new("a").expect("a name");
    let twice = Rules::parse(&format!("{one}{one}")).expect_err("two");
    assert_eq!(twice, TableError::Twice(id.clone()));
    let silent = Rules::parse(&one.replace("\"w\"", "\" \"")).expect_err("silent");
    let (rule, field) = (id, "why");
    assert_eq!(silent, TableError::Empty { rule, field });
    let name = Rules::parse(&one.replace("\"a\"", "\"A b\"")).expect_err("a name");
    assert_eq!(name, TableError::Id("A b".to_owned()));
}

#[test]
fn the_first_rule_in_the_file_wins_whatever_the_index_does() {
    let rule = |id: &str, when: &str| {
        format!(
            "{}[[rule.when]]\ncause = [\"syscall\"]\n{when}\n",
            table("").replace("\"a\"", &format!("\"{id}\""))
        )
    };
    let text = [
        rule("exact", "name = [\"read\"]\nend = [\"blocked\"]"),
        rule("prefix", "name = [\"re*\", \"open\"]"),
        rule("exact-again", "name = [\"read\", \"write\"]"),
        rule("any", ""),
    ]
    .concat();
    let rules = Rules::parse(&text).expect("a table");
    let id = |breach: &Breach| rules.find(breach).map(|rule| rule.id.to_string());
    let read = build::syscall("read");
    assert_eq!(id(&read).as_deref(), Some("prefix"));
    let blocked = read.ended(crate::event::model::End::Blocked);
    assert_eq!(id(&blocked).as_deref(), Some("exact"));
    assert_eq!(id(&build::syscall("recv")).as_deref(), Some("prefix"));
    assert_eq!(id(&build::syscall("open")).as_deref(), Some("prefix"));
    assert_eq!(id(&build::syscall("write")).as_deref(), Some("exact-again"));
    assert_eq!(id(&build::syscall("mmap")).as_deref(), Some("any"));
    let mut unnamed = build::syscall("read");
    unnamed.cause_name = None;
    assert_eq!(id(&unnamed).as_deref(), Some("any"));
    assert_eq!(id(&build::timer()), None);
}

#[test]
fn a_hole_that_nothing_fills_is_an_error() {
    let hole = |field, hole: &str| TableError::Hole {
        rule: RuleId::new("a").expect("a name"),
        field,
        hole: hole.to_owned(),
    };
    let rest = "host_only = true\n";
    assert_eq!(
        refused(&format!("run = [\"echo {{moon}}\"]\n{rest}")),
        hole("run", "moon")
    );
    // A name that a stranger chose is no part of a command.
    assert_eq!(
        refused(&format!("run = [\"kill {{other}}\"]\n{rest}")),
        hole("run", "Other")
    );
}

#[test]
fn who_ends_it_is_named_with_what_does() {
    let id = || RuleId::new("a").expect("a name");
    let text = table("host_only = true");
    for (word, field) in [("command", "run"), ("boot", "boot")] {
        let text = text.replace("\"application\"", &format!("\"{word}\""));
        let error = Rules::parse(&text).expect_err(word);
        assert_eq!(error, TableError::Ends { rule: id(), field });
        let with = text.replace("verify", &format!("{field} = [\"x\"]\nverify"));
        assert!(Rules::parse(&with).is_ok(), "{word}");
    }
    let wrong = Rules::parse(&text.replace("\"application\"", "\"prayer\"")).expect_err("prayer");
    assert!(
        matches!(wrong, TableError::Word { field: "end", .. }),
        "{wrong:?}"
    );
}

/// What a kernel ignores is nothing to boot it with.
#[test]
fn a_kernel_without_full_ticks_is_given_no_argument_for_them() {
    let rule = embedded().get(&RuleId::new("vmstat").expect("a name"));
    let rule = rule.expect("the rule");
    let isolcpus = "isolcpus=domain,managed_irq,1";
    for (no_hz_full, wanted) in [
        (None, vec!["nohz_full=1", isolcpus]),
        (Some(true), vec!["nohz_full=1", isolcpus]),
        (Some(false), vec![isolcpus]),
    ] {
        let header = Header {
            no_hz_full,
            ..plain_header()
        };
        let host = Numbers::of_header(&header);
        assert_eq!(rule.filled(&host).boot, wanted, "{no_hz_full:?}");
        let later = host.watching(&header.cpus, &header.housekeeping);
        assert_eq!(later, host);
    }
}

/// Whoever copies a command must get this host's numbers, not those of an example.
#[test]
fn no_text_has_the_numbers_of_another_host() {
    let host = Numbers::of_host("1".parse().expect("a list"), "0".parse().expect("a list"));
    for rule in embedded().all() {
        let remedy = rule.filled(&host);
        let mut texts = vec![remedy.text, remedy.verify];
        texts.extend(remedy.run);
        texts.extend(remedy.boot);
        for text in texts {
            for example in ["1-3", "NUMBER", "=LIST", "WATCHED", "HOUSEKEEPING"] {
                assert!(!text.contains(example), "{}: {text}", rule.id);
            }
        }
    }
}
