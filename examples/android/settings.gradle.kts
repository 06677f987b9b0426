pluginManagement {
    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
}

dependencyResolutionManagement {
    repositoriesMode.set(RepositoriesMode.FAIL_ON_PROJECT_REPOS)
    repositories {
        google()
        mavenCentral()
        // Larq Compute Engine's archive, which prepare.py puts there.
        maven {
            url = uri("local-maven")
            content { includeGroup("org.larq") }
        }
    }
}

rootProject.name = "classify"
include(":app")
