//! All documents in one zip file.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::book::{Book, Page, PageError};
use super::{index, stub};

/// Every document of the index, and the declarations of the server's parts, one file each.
pub fn of(book: &Book) -> Result<Page, PageError> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    // The same documents give the same bytes: no times in it.
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for path in index::files(book) {
        put(&mut zip, &path, &book.document(&path)?, options)?;
    }
    for part in &book.missing {
        let path = format!("REFERENCE/{}.md", part.slug);
        put(&mut zip, &path, &book.document(&path)?, options)?;
    }
    for service in &book.catalog.built_in {
        let path = format!("SOURCE/{}.py", service.slug);
        put(&mut zip, &path, &stub::module(service), options)?;
    }
    let name = match book.facts.global {
        true => "hypha-skills.zip".to_owned(),
        false => format!("hypha-skills-{}.zip", book.facts.workspace),
    };
    let bytes = zip.finish()?.into_inner();
    Ok(Page::Archive { name, bytes })
}

fn put(
    zip: &mut ZipWriter<Cursor<Vec<u8>>>,
    path: &str,
    text: &str,
    options: SimpleFileOptions,
) -> Result<(), PageError> {
    zip.start_file(path, options)?;
    zip.write_all(text.as_bytes())
        .map_err(zip::result::ZipError::from)?;
    Ok(())
}
