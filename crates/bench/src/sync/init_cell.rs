use std::{convert::Infallible, error::Error, hint::black_box, sync::Arc};

use steadfast_sync::InitCell;
use tokio::{runtime::Builder, sync::OnceCell};

use crate::{
    harness::{Case, Sampling},
    machine::versioned,
    run::{in_tasks, plainly},
};

type Cell = InitCell<u64, Infallible>;

pub(super) fn get() -> Result<Case, Box<dyn Error>> {
    let cell = ready_cell()?;
    let ours = plainly("steadfast-sync InitCell::get", move || cell.get());
    let cell = OnceCell::new_with(Some(Arc::new(1)));
    let tokios = plainly(cloned(), move || cell.get().cloned());
    Ok(Case::new(ours).against(tokios.at_most(1.3)))
}

pub(super) fn get_contended() -> Result<Case, Box<dyn Error>> {
    const TASKS: u64 = 2;
    let cell = Arc::new(ready_cell()?);
    let ours = in_tasks("steadfast-sync InitCell::get", TASKS, move |numbers| {
        let cell = Arc::clone(&cell);
        async move {
            for _ in numbers {
                black_box(cell.get());
            }
        }
    })?;
    let cell = Arc::new(OnceCell::new_with(Some(Arc::new(1))));
    let tokios = in_tasks(cloned(), TASKS, move |numbers| {
        let cell = Arc::clone(&cell);
        async move {
            for _ in numbers {
                black_box(cell.get().cloned());
            }
        }
    })?;
    Ok(Case::new(ours).against(tokios).sampled(Sampling::LONG))
}

pub(super) fn cached() -> Result<Case, Box<dyn Error>> {
    let cell: &'static Cell = Box::leak(Box::new(ready_cell()?));
    let mut handle = cell.cached();
    let ours = plainly("steadfast-sync Cached::get", move || {
        black_box(handle.get()).is_some()
    });
    let cell = OnceCell::new_with(Some(1));
    let tokios = plainly(versioned("tokio") + " OnceCell::get", move || {
        black_box(cell.get()).is_some()
    });
    Ok(Case::new(ours).against(tokios.at_most(3.0)))
}

fn ready_cell() -> Result<Cell, Box<dyn Error>> {
    let cell = Cell::new();
    let runtime = Builder::new_current_thread().build()?;
    runtime.block_on(cell.get_or_init(async |_| Ok(1)))?;
    Ok(cell)
}

fn cloned() -> String {
    versioned("tokio") + " OnceCell<Arc<T>>::get, cloned"
}
