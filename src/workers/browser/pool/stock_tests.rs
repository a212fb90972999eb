use std::cell::Cell;
use std::rc::Rc;

use super::*;

const LOTS: usize = 20;

#[derive(Debug, Clone)]
struct Sheet(u32, Rc<Cell<bool>>);

impl Fit for Sheet {
    fn is_fit(&self) -> bool {
        self.1.get()
    }
}

fn sheet(number: u32) -> Sheet {
    Sheet(number, Rc::new(Cell::new(true)))
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn stock() -> Stock<Sheet> {
    Stock::new(PoolSettings {
        blank: 1,
        web_worker: 2,
        web_python: 0,
        max_age: at(100),
        idle: at(300),
        min_memory: 0,
    })
}

fn held(stock: &Stock<Sheet>, kind: PageKind) -> Held {
    let report = stock.report();
    report
        .into_iter()
        .find(|held| held.kind == kind.name())
        .unwrap()
}

#[test]
fn nothing_is_made_before_it_was_asked_for() {
    let mut stock = stock();
    assert_eq!(stock.tend(at(0), LOTS).1, Task::Wait(None));
    assert!(stock.take(PageKind::Blank, at(1)).is_none());
    assert_eq!(stock.tend(at(1), LOTS).1, Task::Make(PageKind::Blank));
    stock.put(PageKind::Blank, sheet(1), at(2));
    assert_eq!(stock.tend(at(2), LOTS).1, Task::Wait(Some(at(100))));
    assert_eq!(held(&stock, PageKind::Blank).counts.missed, 1);
    assert_eq!(held(&stock, PageKind::WebWorker).counts, Counts::default());
}

#[test]
fn each_page_is_taken_once_the_oldest_first() {
    let mut stock = stock();
    for number in 1..=2 {
        stock.put(PageKind::WebWorker, sheet(number), at(1));
    }
    let mut numbers = || stock.take(PageKind::WebWorker, at(2)).map(|page| page.0);
    assert_eq!([numbers(), numbers(), numbers()], [Some(1), Some(2), None]);
    let counts = held(&stock, PageKind::WebWorker).counts;
    assert_eq!((counts.made, counts.taken, counts.missed), (2, 2, 1));
}

#[test]
fn what_died_is_not_handed_out_and_is_replaced() {
    let mut stock = stock();
    let (dead, alive) = (sheet(1), sheet(2));
    stock.put(PageKind::WebWorker, dead.clone(), at(1));
    stock.put(PageKind::WebWorker, alive, at(1));
    dead.1.set(false);
    assert_eq!(held(&stock, PageKind::WebWorker).ready, 1);
    assert_eq!(stock.take(PageKind::WebWorker, at(2)).unwrap().0, 2);
    let late = sheet(3);
    stock.put(PageKind::WebWorker, late.clone(), at(2));
    late.1.set(false);
    let (gone, task) = stock.tend(at(3), LOTS);
    assert_eq!((gone.len(), task), (1, Task::Make(PageKind::WebWorker)));
    assert_eq!(held(&stock, PageKind::WebWorker).counts.lost, 2);
}

#[test]
fn old_pages_are_renewed_and_idle_kinds_emptied() {
    let mut stock = stock();
    assert!(stock.take(PageKind::Blank, at(0)).is_none());
    stock.put(PageKind::Blank, sheet(1), at(0));
    let (gone, task) = stock.tend(at(100), LOTS);
    assert_eq!((gone.len(), task), (1, Task::Make(PageKind::Blank)));
    stock.put(PageKind::Blank, sheet(2), at(250));
    assert_eq!(stock.tend(at(251), LOTS).1, Task::Wait(Some(at(49))));
    let (gone, task) = stock.tend(at(300), LOTS);
    assert_eq!((gone.len(), task), (1, Task::Wait(None)));
    let counts = held(&stock, PageKind::Blank).counts;
    assert_eq!((counts.renewed, counts.dropped), (1, 1));
}

#[test]
fn a_kind_that_cannot_be_made_rests_longer_and_longer() {
    let mut stock = stock();
    assert!(stock.take(PageKind::Blank, at(0)).is_none());
    stock.failed(PageKind::Blank, at(0));
    assert_eq!(stock.tend(at(0), LOTS).1, Task::Wait(Some(at(2))));
    assert_eq!(stock.tend(at(2), LOTS).1, Task::Make(PageKind::Blank));
    stock.failed(PageKind::Blank, at(2));
    assert_eq!(stock.tend(at(3), LOTS).1, Task::Wait(Some(at(3))));
    stock.put(PageKind::Blank, sheet(1), at(6));
    stock.take(PageKind::Blank, at(7));
    stock.failed(PageKind::Blank, at(7));
    assert_eq!(stock.tend(at(7), LOTS).1, Task::Wait(Some(at(2))));
}

#[test]
fn no_page_waits_that_no_session_could_have() {
    let mut stock = stock();
    stock.take(PageKind::WebWorker, at(0));
    stock.put(PageKind::WebWorker, sheet(1), at(0));
    assert_eq!(stock.tend(at(1), 1).1, Task::Wait(Some(at(99))));
    assert_eq!(stock.tend(at(1), 2).1, Task::Make(PageKind::WebWorker));
    assert_eq!(stock.clear().len(), 1);
    assert_eq!(held(&stock, PageKind::WebWorker).ready, 0);
}
