use serde_json::json;

use super::*;

fn read(source: &str) -> XmlApp {
    parse_xml_app(source).unwrap()
}

fn file<'a>(app: &'a XmlApp, path: &str) -> &'a str {
    let found = app.files.iter().find(|file| file.path == path);
    std::str::from_utf8(&found.expect(path).content).unwrap()
}

fn paths(app: &XmlApp) -> Vec<&str> {
    app.files.iter().map(|file| &*file.path).collect()
}

#[test]
fn yaml_and_json_configs_become_the_manifest() {
    let app = read(
        "<config lang=\"yaml\">\n    name: Py\n    type: web-python\n    version: 1.0.0\n    tags: [a]\n</config>\n\
         <manifest>{\"name\": \"first\", \"api_version\": \"0.1.8\"}</manifest>\n\
         <script lang=\"python\">print(1 < 2 && 3)</script>",
    );
    let expected = json!({"name": "Py", "api_version": "0.1.8", "type": "web-python", "version": "1.0.0", "tags": ["a"]});
    assert_eq!(Value::Object(app.config.clone()), expected);
    assert_eq!(app.script.as_deref(), Some("main.py"));
    assert_eq!(file(&app, "main.py"), "print(1 < 2 && 3)");
    assert_eq!(app.remainder, None);
}

#[test]
fn config_errors_name_the_language() {
    let table = [
        (
            "<config lang=\"toml\">a=1</config>",
            "Unsupported config language: toml",
        ),
        ("<config>{bad</config>", "Invalid JSON in config: "),
        (
            "<config>[1]</config>",
            "Invalid JSON in config: expected an object",
        ),
        (
            "<config lang=\"yaml\">a: [1</config>",
            "Invalid YAML in config: ",
        ),
        (
            "<config lang=\"yaml\">- 1</config>",
            "Invalid YAML in config: expected a mapping",
        ),
    ];
    for (source, text) in table {
        let error = parse_xml_app(source).unwrap_err().to_string();
        assert!(error.starts_with(text), "{error}");
    }
}

#[test]
fn files_keep_raw_markup_and_are_trimmed() {
    let app = read(
        "<file name=\"a/b.html\">\n <p class=\"x\">1 &lt; 2</p>\n</file>\
         <file name=\"empty.txt\"></file>\
         <file name=\"c.json\" format=\"json\"> {\"a\":1} </file>\
         <file name=\"d.bin\" format=\"base64\"> AAEC </file>",
    );
    assert_eq!(file(&app, "a/b.html"), "<p class=\"x\">1 &lt; 2</p>");
    assert_eq!(file(&app, "empty.txt"), "");
    assert_eq!(file(&app, "c.json"), "{\"a\":1}");
    assert_eq!(file(&app, "d.bin").as_bytes(), [0, 1, 2]);
    let unnamed = parse_xml_app("<file>x</file>").unwrap_err().to_string();
    assert!(
        unnamed.ends_with("must have 'name' or 'path' field"),
        "{unnamed}"
    );
    let outside = parse_xml_app("<file name=\"../x\">x</file>").unwrap_err();
    assert!(matches!(outside, XmlError::File(_)));
}

#[test]
fn several_scripts_get_names_of_their_own() {
    let app = read(
        "<file name=\"main.js\">given</file><script>one</script><script src=\"x.js\"></script>\
         <script lang=\"js\">two</script><script lang=\"python\">three</script><script lang=\"rust\">four</script>",
    );
    assert_eq!(
        paths(&app),
        ["main.js", "main-2.js", "main-3.js", "main.py", "main.txt"]
    );
    assert_eq!(app.script.as_deref(), Some("main-2.js"));
    assert_eq!(file(&app, "main-3.js"), "two");
}

#[test]
fn the_first_tag_chooses_script_and_fields() {
    let source = |tags: &str| {
        format!(
            "<config>{{{tags}\"type\": {{\"GPU\": \"native\", \"CPU\": \"web-python\"}}, \"ui\": {{\"GPU\": 1}}}}</config>\
             <script tag=\"GPU\">gpu</script><script tag=\"CPU\">cpu</script>"
        )
    };
    let app = read(&source("\"tags\": [\"CPU\", \"GPU\"], "));
    assert_eq!(app.config["type"], "web-python");
    assert!(!app.config.contains_key("ui"));
    assert_eq!(file(&app, app.script.as_deref().unwrap()), "cpu");
    assert_eq!(parse_xml_app(&source("")), Err(XmlError::TagsNeeded));
    let plain = read("<config>{\"env\": {\"A\": \"1\"}}</config>");
    assert_eq!(plain.config["env"], json!({"A": "1"}));
}

#[test]
fn the_remainder_counts_only_without_a_script() {
    let app =
        read("<config>{}</config>\n\n<div>\n\n<b>x</b></div>\n<!-- c -->\n<style>p{}</style>");
    assert_eq!(
        app.remainder.as_deref(),
        Some("<div>\n<b>x</b></div>\n<!-- c -->\n<style>p{}</style>")
    );
    assert_eq!(read("<config>{}</config>\n<!-- only -->\n").remainder, None);
    assert_eq!(
        read("<window><p>w</p></window>").remainder.as_deref(),
        Some("<p>w</p>")
    );
    let with_script = read(
        "<window><p>w</p></window><style>p{}</style><div>d</div><script>1</script><docs> # D </docs>",
    );
    assert_eq!(with_script.remainder, None);
    assert_eq!(
        file(&with_script, "window.html"),
        "<p>w</p>\n<style>p{}</style>"
    );
    assert_eq!(file(&with_script, "docs.md"), "# D");
}

#[test]
fn an_indented_python_script_is_dedented_and_cdata_unwrapped() {
    let app = read("<script lang=\"python\">\n    if a:\n        b()\n\n    c()\n</script>");
    assert_eq!(file(&app, "main.py"), "if a:\n    b()\n\nc()");
    let app = read("<script><![CDATA[ a < b ]]></script>");
    assert_eq!(file(&app, "main.js"), "a < b");
    assert_eq!(dedent("x\n  y"), "x\n  y");
    assert_eq!(dedent("  x\n\t y"), "  x\n\t y");
}
